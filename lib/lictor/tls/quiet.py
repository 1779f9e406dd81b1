"""One line for a failure that happens again and again."""

from __future__ import annotations

import logging
import time

REPEAT_AFTER_S = 60.0
MAX_REMEMBERED = 1024


class QuietLog:
    """Logs what is said about somebody once, and again only after a while."""

    def __init__(self, logger: logging.Logger) -> None:
        self._log = logger
        self._said: dict[tuple[str, str], float] = {}

    def warn(self, who: str, what: str, line: str) -> None:
        """`line` goes out unless `what` was said of `who` within the last minute."""
        now_s = time.monotonic()
        said_s = self._said.get((who, what))
        if said_s is not None and now_s - said_s < REPEAT_AFTER_S:
            return
        if len(self._said) >= MAX_REMEMBERED:
            self._said.clear()
        self._said[(who, what)] = now_s
        self._log.warning("%s", line)
