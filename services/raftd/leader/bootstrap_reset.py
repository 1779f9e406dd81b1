"""The file that lets a cluster be bootstrapped again: `acl-bootstrap-reset` in the leader's data directory.

It holds the reset index, the index at which bootstrapping was done. Whoever may write there has lost no more than the
tokens; the file goes once it was of use, so that a later restore cannot be misused with it.
"""

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

FILE_NAME = "acl-bootstrap-reset"
MAX_FILE_BYTES = 64
INDEX_MAX = (1 << 64) - 1
_NUMBER = re.compile(r"\s*(\d+)")

log = logging.getLogger("agent.server.acl")


class BootstrapReset:
    """Reads and removes the file."""

    def __init__(self, data_dir: str) -> None:
        self._path = Path(data_dir) / FILE_NAME

    async def specified(self, body: Any) -> dict[str, int]:
        """The call `acl.bootstrap_reset`: what the file says, 0 for nothing. A file that says `body["index"]` goes.

        With index 0 bootstrapping is yet to be done: a file that is there is of no use any more.
        """
        return {"specified": await asyncio.to_thread(self._specified, int(body["index"]))}

    def _specified(self, wanted: int) -> int:
        specified = self._read()
        if specified == wanted or not wanted:
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("failed to remove bootstrap file: error=%s", error)
        return specified

    def _read(self) -> int:
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_FILE_BYTES).decode("latin-1")
        except FileNotFoundError:
            return 0
        except OSError as error:
            log.error("bootstrap: failed to read path: path=%s error=%s", self._path, error)
            return 0
        number = _NUMBER.match(text)
        if number is None or int(number[1]) > INDEX_MAX:
            log.error("failed to parse bootstrap reset index path: path=%s", self._path)
            return 0
        return int(number[1])
