"""How check output is kept within its limit."""

from __future__ import annotations

DEFAULT_OUTPUT_BYTES = 4096


class OutputRing:
    """Keeps the last bytes of a stream and counts all of them."""

    __slots__ = ("_kept", "limit_bytes", "total_bytes")

    def __init__(self, limit_bytes: int = DEFAULT_OUTPUT_BYTES) -> None:
        assert limit_bytes > 0, "an output limit is positive"
        self.limit_bytes = limit_bytes
        self.total_bytes = 0
        self._kept = bytearray()

    def write(self, data: bytes) -> None:
        """Append; what no longer fits falls off at the front."""
        self.total_bytes += len(data)
        self._kept += data[-self.limit_bytes :]
        surplus = len(self._kept) - self.limit_bytes
        if surplus > 0:
            del self._kept[:surplus]

    def raw(self) -> bytes:
        """What was kept."""
        return bytes(self._kept)

    def text(self) -> str:
        """What was kept, invalid UTF-8 replaced."""
        return self._kept.decode("utf-8", "replace")

    def captured(self) -> str:
        """What was kept, led by how much of it that is when something was lost (script and Docker checks)."""
        text = self.text()
        if self.total_bytes > self.limit_bytes:
            return f"Captured {self.limit_bytes} of {self.total_bytes} bytes\n...\n{text}"
        return text


def limited(output: str, limit_bytes: int) -> str:
    """A TTL update's output cut to its limit, saying so (Consul 1.7: CheckTTL)."""
    raw = output.encode()
    if len(raw) <= limit_bytes:
        return output
    return f"{raw[:limit_bytes].decode('utf-8', 'ignore')} ... (captured {limit_bytes} of {len(raw)} bytes)"


def effective_limit(agent_limit_bytes: int, check_limit_bytes: int) -> int:
    """The smaller of the agent's limit and the check's own, where one is given."""
    limit = agent_limit_bytes or DEFAULT_OUTPUT_BYTES
    return check_limit_bytes if 0 < check_limit_bytes < limit else limit
