"""The snapshot file: who was alive and how far the clocks were, as lines of text that Serf can read, too.

Lines: `alive: name ip:port`, `not-alive: name`, `clock: n`, `event-clock: n`, `query-clock: n`, `leave`; `#` begins a
comment, `coordinate:` is from older versions. The file only grows until it is rewritten whole.
"""

from dataclasses import dataclass, field

MIN_COMPACT_BYTES = 128 * 1024
BYTES_PER_NODE = 128
COMPACT_FACTOR = 2


@dataclass(slots=True)
class SnapshotState:
    """What a snapshot file says."""

    alive: dict[str, str] = field(default_factory=dict)
    clock: int = 0
    event_clock: int = 0
    query_clock: int = 0

    def replay(self, text: str, rejoin_after_leave: bool) -> list[str]:
        """Reads a file. Returns the lines that mean nothing; a torn last line is normal after a crash."""
        return [line for line in text.split("\n") if not self._apply(line, rejoin_after_leave)]

    def _apply(self, line: str, rejoin_after_leave: bool) -> bool:
        key, _, value = line.partition(": ")
        if key == "alive":
            name, _, endpoint = value.rpartition(" ")
            if not name:
                return False
            self.alive[name] = endpoint
        elif key == "not-alive":
            self.alive.pop(value, None)
        elif key in ("clock", "event-clock", "query-clock"):
            if not value.isascii() or not value.isdigit():
                return False
            setattr(self, key.replace("-", "_"), int(value))
        elif line == "leave":
            if not rejoin_after_leave:
                self.alive.clear()
                self.clock = self.event_clock = self.query_clock = 0
        else:
            return not line or line.startswith("#") or key == "coordinate"
        return True

    def lines(self) -> str:
        """The whole file that says this."""
        alive = "".join(f"alive: {name} {endpoint}\n" for name, endpoint in self.alive.items())
        return f"{alive}clock: {self.clock}\nevent-clock: {self.event_clock}\nquery-clock: {self.query_clock}\n"


class Snapshotter:
    """Keeps the state and says what to write."""

    def __init__(self, state: SnapshotState, size_bytes: int, rejoin_after_leave: bool) -> None:
        self.state = state
        self._size_bytes = size_bytes
        self._rejoin_after_leave = rejoin_after_leave
        self._left = False

    def member_alive(self, name: str, endpoint: str) -> str:
        if self._left:
            return ""
        self.state.alive[name] = endpoint
        return self._appended(f"alive: {name} {endpoint}\n")

    def member_gone(self, name: str) -> str:
        if self._left:
            return ""
        self.state.alive.pop(name, None)
        return self._appended(f"not-alive: {name}\n")

    def clocks(self, clock: int, event_clock: int, query_clock: int) -> str:
        """The last seen times (one less than the clocks); only what has moved is written."""
        text = ""
        for key, seen in (("clock", clock), ("event_clock", event_clock), ("query_clock", query_clock)):
            if not self._left and seen > getattr(self.state, key):
                setattr(self.state, key, seen)
                text += f"{key.replace('_', '-')}: {seen}\n"
        return self._appended(text)

    def leave(self) -> str:
        """After this nothing is written any more: the members that now seem to go are not gone."""
        self._left = True
        if not self._rejoin_after_leave:
            self.state = SnapshotState()
        return self._appended("leave\n")

    def maybe_compact(self) -> str | None:
        """The new content of the file, when it has grown well past what it has to say."""
        limit_bytes = max(MIN_COMPACT_BYTES, len(self.state.alive) * BYTES_PER_NODE * COMPACT_FACTOR)
        if self._left or self._size_bytes <= limit_bytes:
            return None
        text = self.state.lines()
        self._size_bytes = len(text.encode())
        return text

    def _appended(self, text: str) -> str:
        self._size_bytes += len(text.encode())
        return text
