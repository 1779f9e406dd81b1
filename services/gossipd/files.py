"""gossipd's files: the snapshot of who was alive, and the keyring. Serf's formats, in `<data_dir>/serf/`."""

import json
import os
from pathlib import Path

from gossipd.core.errors import KeyRefused
from gossipd.core.keyring import Keyring, key_from_text, key_to_text
from lictor.rpc.runfile import write_atomically

MAX_SNAPSHOT_BYTES = 64 * 1024 * 1024
DIRECTORY = "serf"
DIRECTORY_MODE = 0o755
SNAPSHOT_MODE = 0o644
KEYRING_MODE = 0o600


def serf_directory(data_dir: str | Path) -> Path:
    """Made when it is missing."""
    path = Path(data_dir) / DIRECTORY
    path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    return path


class SnapshotFile:
    """The file that `gossipd.core.snapshot` says what to write into. Appended without waiting for the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def read(self) -> str:
        """What the last run left; empty when there is nothing. A byte that is no text spoils only its line."""
        try:
            with self.path.open("rb") as file:
                return file.read(MAX_SNAPSHOT_BYTES).decode(errors="replace")
        except FileNotFoundError:
            return ""

    def open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, SNAPSHOT_MODE)

    def append(self, text: str, flush: bool) -> None:
        os.write(self._descriptor, text.encode())
        if flush:
            os.fsync(self._descriptor)

    def rewrite(self, text: str) -> None:
        write_atomically(self.path, text.encode(), SNAPSHOT_MODE)
        self.close()
        self.open()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class KeyringFileError(Exception):
    """The keyring file is there but cannot be used; the text names it."""


def load_keyring(path: Path | None, configured_key: str) -> Keyring:
    """The keyring to start with. A file with keys wins; the configured key is only for when there is none.

    Raises KeyringFileError and KeyRefused.
    """
    if path is not None and path.exists():
        try:
            texts = json.loads(path.read_text())
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise KeyringFileError(f"Failed to decode keyring file {path}: not an array of texts")
            keys = tuple(key_from_text(text) for text in texts)
        except (OSError, ValueError, KeyRefused) as error:
            raise KeyringFileError(f"Failed to load keyring file {path}: {error}") from error
        if keys:
            return Keyring(keys)
    if not configured_key:
        return Keyring()
    keyring = Keyring((key_from_text(configured_key),))
    if path is not None:
        save_keyring(path, keyring.keys)
    return keyring


def save_keyring(path: Path, keys: tuple[bytes, ...]) -> None:
    text = json.dumps([key_to_text(key) for key in keys], indent=2)
    write_atomically(path, text.encode(), KEYRING_MODE)
