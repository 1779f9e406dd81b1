"""Proof of leadership: numbered rounds of messages, and who has answered which (Raft dissertation 6.4, 6.4.1).

A quorum having answered round r proves that nobody else was elected before r began. So reads that arrived before r
began are safe at the commit index of that moment, and a lease runs from r's beginning: each of that quorum refuses its
vote for a heartbeat timeout from then on.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from raftd.core.config import RaftConfig

ROUNDS_REMEMBERED_MAX = 4096
"""Rounds whose beginning is known; an answer to an older one renews no lease."""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Reads of this server (`contexts`), or a batch of a follower's (`source`, `request_id`)."""

    source: str
    request_id: int
    contexts: tuple[int, ...]


class Rounds:
    """The leader's rounds, the lease that follows from them, and the reads that wait for one."""

    def __init__(self, config: RaftConfig) -> None:
        self._config = config
        self.current = 0
        self.confirmed = 0
        """The latest round a quorum has answered."""
        self._beginnings: deque[tuple[int, int]] = deque()
        self._confirmed_ns = 0
        self.gathered: list[ReadRequest] = []
        self.gathered_count = 0
        self._waiting: deque[tuple[int, int, list[ReadRequest]]] = deque()

    def begin(self, now_ns: int) -> int:
        """Begin a round: messages sent from now on carry its number."""
        self.current += 1
        self._beginnings.append((self.current, now_ns))
        if len(self._beginnings) > ROUNDS_REMEMBERED_MAX:
            self._beginnings.popleft()
        return self.current

    def confirm(self, round_number: int) -> bool:
        """A quorum has answered `round_number`; returns whether that is news."""
        if round_number <= self.confirmed:
            return False
        self.confirmed = round_number
        while self._beginnings and self._beginnings[0][0] <= round_number:
            number, began_ns = self._beginnings.popleft()
            if number == round_number:
                self._confirmed_ns = began_ns
        return True

    def lease_expiry_ns(self) -> int:
        """Until when nobody else can have been elected, by this server's clock; 0 when never confirmed."""
        return self._confirmed_ns + self._config.lease_timeout_ns if self._confirmed_ns else 0

    # --- reads ------------------------------------------------------------------------------------------------

    def gather(self, request: ReadRequest) -> None:
        """Take reads; they wait for a round that has not begun."""
        self.gathered.append(request)
        self.gathered_count += max(1, len(request.contexts))

    @property
    def read_waits(self) -> bool:
        """Whether reads wait for a round under way."""
        return bool(self._waiting)

    def attach_reads(self, commit_index: int) -> None:
        """Let the reads gathered wait for the round that has just begun, at this commit index."""
        if self.gathered:
            self._waiting.append((self.current, commit_index, self.gathered))
            self.gathered, self.gathered_count = [], 0

    def take_confirmed_reads(self) -> list[tuple[int, list[ReadRequest]]]:
        """(safe index, requests) of the rounds confirmed."""
        done = []
        while self._waiting and self._waiting[0][0] <= self.confirmed:
            _, index, requests = self._waiting.popleft()
            done.append((index, requests))
        return done

    def abandon_reads(self) -> list[ReadRequest]:
        """All that wait, when leadership ends."""
        requests: list[ReadRequest] = []
        for _, _, waiting in self._waiting:
            requests.extend(waiting)
        requests.extend(self.gathered)
        self._waiting.clear()
        self.gathered, self.gathered_count = [], 0
        return requests


def requests_contexts(requests: Sequence[ReadRequest]) -> list[int]:
    """The contexts of this server's own reads among `requests`."""
    return [context for request in requests for context in request.contexts]
