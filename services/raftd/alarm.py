"""When the core is woken, and what happens when that comes far too late."""

import asyncio
import logging
from collections.abc import Callable

from lictor.page import boottime_ns

PAUSE_NS = 500_000_000
"""An alarm later than this means that the process, or the whole machine, stood still."""
PAUSE_DRAIN_S = 0.02
"""After a pause, messages that have arrived meanwhile get this long before time passes for the core."""

log = logging.getLogger("agent.server.raft")


class Alarm:
    """One alarm at a time; calls `ring` on the event loop."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._at_ns = 0
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at_ns: int) -> None:
        """Ring then (`boottime_ns`), 0: not at all."""
        if at_ns == self._at_ns and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._at_ns = at_ns
        if at_ns:
            delay_s = max(at_ns - boottime_ns(), 0) / 1e9
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._fired)

    def _fired(self) -> None:
        late_ns = boottime_ns() - self._at_ns
        if late_ns > PAUSE_NS:
            log.warning("process was paused: pause_ms=%d", late_ns // 1_000_000)
            self._timer = asyncio.get_running_loop().call_later(PAUSE_DRAIN_S, self._now)
        else:
            self._now()

    def _now(self) -> None:
        self._timer = None
        self._ring()
