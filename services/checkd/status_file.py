"""Statuses over a restart of this process alone: `run/checkd.status`.

Checks come back critical when the agent starts, since nobody knows what happened meanwhile (Consul 1.7). When only
this process was replaced, a second's gap must not take every service out of discovery: then the last statuses are
taken over until each check has run again. The file belongs to one supervisor (by its process ID) and is only good
while it is fresh.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from checkd.core.local_state import LocalState
from checkd.core.node import Node
from checkd.core.records import Moment
from lictor.rpc.runfile import run_directory, write_atomically

FILE_NAME = "checkd.status"
WRITE_INTERVAL_S = 0.5
TOUCH_INTERVAL_S = 5.0
MAX_AGE_S = 30.0
# Enough to tell why, until the check has run again.
MAX_OUTPUT_LENGTH = 512


class StatusFile:
    """Written when statuses changed and every few seconds, read once at start."""

    def __init__(self, data_dir: str) -> None:
        self._path: Path = run_directory(data_dir) / FILE_NAME
        self._written_version = 0
        self._written_at = 0.0

    def is_first_start(self) -> bool:
        """Whether this supervisor has not run such a process before."""
        try:
            return bool(json.loads(self._path.read_bytes())["supervisor"] != os.getppid())
        except (OSError, ValueError, KeyError, TypeError):
            return True

    def restore(self, node: Node, now: Moment) -> int:
        """Take over statuses; how many."""
        try:
            content = json.loads(self._path.read_bytes())
            fresh = time.time() - float(content["time"]) <= MAX_AGE_S and content["supervisor"] == os.getppid()
            statuses: dict[str, Any] = dict(content["statuses"]) if fresh else {}
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        count = 0
        for check_id, pair in statuses.items():
            if isinstance(pair, list) and len(pair) == 2:
                node.restore_status(check_id, str(pair[0]), str(pair[1]), now)
                count += 1
        return count

    def maybe_write(self, state: LocalState) -> None:
        """Write when something changed since the last time, or the file grows old; raises OSError."""
        now = time.time()
        if state.status_version == self._written_version and now - self._written_at < TOUCH_INTERVAL_S:
            return
        statuses = {
            entry.check.check_id: [entry.check.status, entry.check.output[:MAX_OUTPUT_LENGTH]]
            for entry in state.live_checks()
            if entry.definition is not None and not entry.definition.is_alias
        }
        content = {"time": now, "supervisor": os.getppid(), "statuses": statuses}
        write_atomically(self._path, json.dumps(content).encode())
        self._written_version, self._written_at = state.status_version, now
