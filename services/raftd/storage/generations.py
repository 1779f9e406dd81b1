"""The state machine's directories `<data_dir>/raft/state-<N>`, one of which `<data_dir>/raft/CURRENT` names.

The environment is never synced: the log is what is durable. So a directory is used again only within the boot of the
machine that wrote it (its file `boot_id`), where the page cache kept everything a killed process had written. After
another boot, and for a snapshot that replaces everything, generation N+1 is made from a snapshot, and readers, who see
the number in the shared page, move over.
"""

import logging
import shutil
from pathlib import Path

from lictor.state import keys
from lictor.state.lmdb_store import LmdbStore, open_store
from lictor.state.store import StoreError
from raftd.core.snapshot import SnapshotMeta
from raftd.storage.files import Files
from raftd.storage.snapshots import SnapshotStore

CURRENT = "CURRENT"
BOOT_ID_FILE = "boot_id"
BOOT_ID_SOURCE = Path("/proc/sys/kernel/random/boot_id")
ENVIRONMENT_FILE = "data.mdb"
_PREFIX = "state-"

log = logging.getLogger("agent.server.fsm")


def boot_id() -> str:
    """What is different after every start of the machine; "" where the system does not tell (never reused then)."""
    try:
        return BOOT_ID_SOURCE.read_text().strip()
    except OSError:
        return ""


def read_applied(store: LmdbStore) -> tuple[int, int]:
    """Index and term of the last entry applied to a store; zeros for a new one."""
    with store.read() as txn:
        return decode_applied(txn.get(keys.APPLIED))


def decode_applied(raw: bytes | None) -> tuple[int, int]:
    """Index and term as stored under `keys.APPLIED`."""
    return (int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")) if raw is not None else (0, 0)


class Generations:
    """Opens the current state, and replaces it."""

    def __init__(self, directory: Path, files: Files, snapshots: SnapshotStore, this_boot: str) -> None:
        self._directory = directory
        self._files = files
        self._snapshots = snapshots
        self._this_boot = this_boot
        self.number = self._read_current()
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def open(self, log_last_index: int, snapshot: SnapshotMeta | None) -> LmdbStore:
        """The current state if it can be trusted, else a new one from `snapshot` (None: empty).

        It is trusted when it was written in this boot and lies between the snapshot and the end of the log.
        Raises CorruptError, StoreError, and as `Files`.
        """
        store = self._reuse(log_last_index, snapshot.index if snapshot is not None else 0)
        return store if store is not None else self.replace(snapshot)

    def _reuse(self, log_last_index: int, snapshot_index: int) -> LmdbStore | None:
        path = self.path(self.number)
        if self.number == 0 or not self._this_boot or _read_text(path / BOOT_ID_FILE) != self._this_boot:
            return None
        try:
            store = open_store(path)
            applied_index, _ = read_applied(store)
        except StoreError as error:
            log.warning("state cannot be reused, rebuilding it: error=%s", error)
            return None
        if snapshot_index <= applied_index <= max(log_last_index, snapshot_index):
            self._remove_others()
            return store
        log.warning(
            "state does not fit the log, rebuilding it: applied=%d snapshot=%d last=%d",
            applied_index,
            snapshot_index,
            log_last_index,
        )
        store.close()
        return None

    def replace(self, snapshot: SnapshotMeta | None) -> LmdbStore:
        """Make the next generation from a snapshot and open it; the previous one stays until `retire`. Raises as
        `open`."""
        number = self.number + 1
        path = self.path(number)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True, mode=0o700)
        if snapshot is not None:
            self._snapshots.restore(snapshot, path / ENVIRONMENT_FILE)
        store = open_store(path)
        self._files.write_whole(path / BOOT_ID_FILE, self._this_boot.encode())
        self._files.write_whole(self._directory / CURRENT, path.name.encode())
        self.number = number
        return store

    def retire(self) -> None:
        """Remove earlier generations; readers that still have one open keep it until they close it."""
        self._remove_others()

    def path(self, number: int) -> Path:
        """Directory of a generation."""
        return self._directory / f"{_PREFIX}{number}"

    def _remove_others(self) -> None:
        for path in self._directory.glob(f"{_PREFIX}*"):
            if path != self.path(self.number):
                shutil.rmtree(path, ignore_errors=True)

    def _read_current(self) -> int:
        name = _read_text(self._directory / CURRENT)
        number = name.removeprefix(_PREFIX)
        return int(number) if name.startswith(_PREFIX) and number.isdecimal() else 0


def _read_text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
