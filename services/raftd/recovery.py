"""`raft/peers.json`: an operator's last resort when a cluster has lost its quorum (Consul 1.7: outage recovery).

At start, on each surviving server: everything in the log is applied, the result snapshotted with the configuration that
the file lists, the log emptied, the file removed. What was not committed may so become committed; hence a last resort.
"""

import json
import logging
import time
from collections import deque
from pathlib import Path

from raftd.core.configuration import Configuration, Server
from raftd.core.log_summary import LogSummary
from raftd.core.raft import recovery_meta
from raftd.core.snapshot import SnapshotMeta
from raftd.fsm import StateMachine
from raftd.storage.errors import StorageError
from raftd.storage.files import Files
from raftd.storage.snapshots import SnapshotStore
from raftd.storage.wal import LogWrite, Wal

PEERS_JSON = "peers.json"
PEERS_INFO = "peers.info"
APPLY_BYTES = 4 << 20
INFO = """\
This directory holds the Raft log and state of this server.

When so many servers are lost for good that no leader can be elected, the rest can be brought back by hand:

1. Stop all remaining servers.
2. Write a file peers.json beside this one, the same on each of them, listing the servers that are left:

   [
     {
       "id": "adf4238a-882b-9ddc-4a9d-5b6758e4159e",
       "address": "10.1.0.1:8300",
       "non_voter": false
     }
   ]

   "id" is in the file node-id of the server's data directory, "address" its server RPC address (port 8300 unless
   configured). "non_voter" may be left out.
3. Start them again. The file is used once and then removed.

Writes that were not confirmed to their clients before may become effective by this.
"""

log = logging.getLogger("agent.server.raft")


class PeersFileError(StorageError):
    """peers.json cannot be used; nothing was changed."""


def write_info(directory: Path, files: Files) -> None:
    """Leave the note for operators, once."""
    path = directory / PEERS_INFO
    if not path.exists():
        files.write_whole(path, INFO.encode())


def parse_peers(content: bytes) -> Configuration:
    """The servers that a peers.json lists. Raises PeersFileError."""
    try:
        rows = json.loads(content)
    except ValueError as error:
        raise PeersFileError(f"peers.json: not JSON: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise PeersFileError('peers.json: a list of {"id": …, "address": …} is expected')
    servers: list[Server] = []
    for position, row in enumerate(rows, 1):
        server_id, address, nonvoter = row.get("id"), row.get("address"), row.get("non_voter", False)
        if not isinstance(server_id, str) or not server_id:
            raise PeersFileError(f"peers.json: server {position} has no id")
        if not isinstance(address, str) or not address.rpartition(":")[2].isdecimal():
            raise PeersFileError(f"peers.json: server {position} has no address host:port")
        if not isinstance(nonvoter, bool):
            raise PeersFileError(f"peers.json: non_voter of server {position} is neither true nor false")
        servers.append(Server(server_id, address, not nonvoter))
    if len({server.id for server in servers}) != len(servers):
        raise PeersFileError("peers.json: an id stands there twice")
    if len({server.address for server in servers}) != len(servers):
        raise PeersFileError("peers.json: an address stands there twice")
    if not any(server.voter for server in servers):
        raise PeersFileError("peers.json: no voter is listed")
    return Configuration(tuple(servers))


def maybe_recover(
    directory: Path, files: Files, wal: Wal, snapshots: SnapshotStore, machine: StateMachine
) -> SnapshotMeta | None:
    """Carry out a recovery if peers.json is there; returns the snapshot it made. Raises StorageError.

    Afterwards `wal.summary` describes the emptied log.
    """
    path = directory / PEERS_JSON
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    configuration = parse_peers(content)
    newest = snapshots.newest()
    if wal.summary.last_index == 0 and newest is None:
        raise PeersFileError(f"{path}: there is no state to recover here; remove the file to start as a new server")
    log.info("found peers.json file, recovering Raft configuration: servers=%d", len(configuration.servers))
    _apply_all(wal, machine)
    draft = machine.copy()
    meta = recovery_meta(wal.summary, newest, _snapshot_id(wal.summary, newest), configuration, draft.size_bytes)
    assert draft.index == meta.index, f"recovery at {meta.index} with a state at {draft.index}"
    meta = snapshots.publish(draft, meta.id, configuration, meta.configuration_index, meta.term)
    wal.write(deque([LogWrite(reset=(meta.index, meta.term))]))
    wal.summary = LogSummary(meta.index, meta.term)
    path.unlink()
    files.sync_directory(directory)
    log.info("deleted peers.json file after successful recovery")
    return meta


def _snapshot_id(summary: LogSummary, newest: SnapshotMeta | None) -> str:
    index = max(summary.last_index, newest.index if newest else 0)
    return f"{summary.last_term}-{index}-{time.time_ns() // 1_000_000}"


def _apply_all(wal: Wal, machine: StateMachine) -> None:
    """Whatever the log holds behind the state machine's index."""
    while machine.applied_index < wal.summary.last_index:
        entries = wal.entries(machine.applied_index + 1, wal.summary.last_index, APPLY_BYTES)
        machine.apply(entries)
