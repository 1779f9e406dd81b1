"""What a client agent got from the servers by `auto_encrypt`: kept in a file of the node's run directory, so that all
of the agent's processes use the same certificate, and one that is restarted need not ask again."""

from __future__ import annotations

import os

import msgspec

from lictor.rpc.runfile import run_directory, run_file_path, write_atomically
from lictor.tls.wanted import GRANT


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Certificate and key as PEM; times in seconds since 1970."""

    certificate: str
    private_key: str
    manual_authorities: list[str]
    """What the servers trust besides Connect's roots: the authorities of their own certificates."""
    connect_authorities: list[str]
    verify_server_hostname: bool
    root_id: str
    """Connect's active root when the certificate was signed."""
    trust_domain: str
    not_before_s: float
    not_after_s: float


class GrantFile:
    """The node's grant, read again when its file changed."""

    def __init__(self, data_dir: str) -> None:
        run_directory(data_dir)
        self._path = run_file_path(data_dir, GRANT)
        self._seen: tuple[int, int] | None = None
        self._grant: Grant | None = None

    def latest(self) -> Grant | None:
        """None when there is none yet."""
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return None
        seen = (status.st_mtime_ns, status.st_ino)
        if seen != self._seen:
            try:
                self._grant = msgspec.json.decode(self._path.read_bytes(), type=Grant)
            except (OSError, msgspec.DecodeError):
                self._grant = None
            self._seen = seen
        return self._grant

    def store(self, grant: Grant) -> None:
        """Replaces it (mode 0600)."""
        write_atomically(self._path, msgspec.json.encode(grant))
