"""Unix sockets between a port and what serves it, where only this user's processes come."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

from lictor.rpc.runfile import run_directory

PATH_MAX_BYTES = 100
"""A little less than what fits into an address of the kernel's."""


class PrivateSockets:
    """Names for sockets: in the node's run directory, or in one of its own where those would be too long."""

    def __init__(self, data_dir: str, owner: str) -> None:
        """`owner` is the process's name; what an earlier run of it left is removed."""
        self._owner = owner
        self._numbers = itertools.count(1)
        self._folder = run_directory(data_dir)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        for left in self._folder.glob(f"{owner}.*.sock"):
            left.unlink(missing_ok=True)
        if len(os.fsencode(self._folder / f"{owner}.00000.sock")) > PATH_MAX_BYTES:
            self._temporary = tempfile.TemporaryDirectory(prefix="lictor-")
            self._folder = Path(self._temporary.name)

    def new_path(self) -> str:
        return str(self._folder / f"{self._owner}.{next(self._numbers)}.sock")

    def close(self) -> None:
        """Removes what is left."""
        for left in self._folder.glob(f"{self._owner}.*.sock"):
            left.unlink(missing_ok=True)
        if self._temporary is not None:
            self._temporary.cleanup()
