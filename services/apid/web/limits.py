"""Limits on connections and requests that hold before an endpoint is even looked for."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

log = logging.getLogger("agent.http")

# Go's http.Server allows a request line and headers of 1 MiB (DefaultMaxHeaderBytes) and a buffer more.
MAX_HEAD_BYTES = (1 << 20) + 4096
# Bodies of endpoints without a limit of their own.
MAX_BODY_BYTES = 64 << 20
# What is read and dropped of a body that is too large, so that the client gets to read why.
MAX_DROPPED_BYTES = 256 << 20
# Requests a client may send ahead on one connection before it is no longer read.
MAX_PIPELINED = 64
# A request line and headers have to be complete within this time after their first byte.
HEAD_TIMEOUT_S = 15.0
# So long may a body that has begun show no further byte.
BODY_IDLE_TIMEOUT_S = 60.0
# A client that takes no byte of its answer for so long is cut off.
WRITE_STALL_TIMEOUT_S = 120.0
# How often these three are looked at.
EXPIRY_INTERVAL_S = 1.0
# What a refused client still sends is dropped for so long before its connection is closed, for so many clients.
LINGER_S = 1.0
MAX_LINGERING = 512
# An answer that is due to a client that sends no more may take so long.
HALF_CLOSED_S = 2.0
LOG_INTERVAL_S = 60.0
# Connections of agents' own machinery come over loopback: they count like any other, as in Consul.


class ConnectionLimit:
    """`limits.http_max_conns_per_client`: open connections per client address; 0 or less is no limit.

    `maximum` may be changed at any time. `on_refused` is called for each connection that is one too many.
    """

    def __init__(self, maximum: int, on_refused: Callable[[], None] | None = None) -> None:
        self.maximum = maximum
        self.on_refused = on_refused
        self._open: Counter[str] = Counter()
        self._last_log_s: dict[str, float] = {}

    def enter(self, address: str) -> bool:
        """Counts a new connection; False when it is one too many (then it is not counted)."""
        if self.maximum > 0 and address and self._open[address] >= self.maximum:
            if self.on_refused is not None:
                self.on_refused()
            self._log(address)
            return False
        self._open[address] += 1
        return True

    def leave(self, address: str) -> None:
        """A counted connection ended."""
        self._open[address] -= 1
        if self._open[address] <= 0:
            del self._open[address]

    def __len__(self) -> int:
        return sum(self._open.values())

    def _log(self, address: str) -> None:
        now_s = time.monotonic()
        if now_s - self._last_log_s.get(address, -LOG_INTERVAL_S) >= LOG_INTERVAL_S:
            if len(self._last_log_s) > 1024:
                self._last_log_s.clear()
            self._last_log_s[address] = now_s
            log.warning(
                "connection refused, too many from one client: from=%s limit=%d (limits.http_max_conns_per_client)",
                address,
                self.maximum,
            )
