"""A follower's reads: batches that ask the leader for a safe index (Raft dissertation 6.4).

One batch is under way while the next gathers. The request id starts at a random number, so that an answer meant for
an earlier life of this server is not taken for one of this.
"""

from collections.abc import Sequence

from raftd.core.effects import ReadFailure, ReadState
from raftd.core.errors import NoLeaderError, TooManyReadsError
from raftd.core.messages import ReadIndexRequest, ReadIndexResponse
from raftd.core.node import Node

REQUEST_ID_RANDOM_MAX = 1 << 48
"""Where request ids may start; a life of a server uses far fewer than the rest of 63 bits."""


class ForwardedReads:
    """Reads of this server that wait for the leader's answer."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._gathered: list[int] = []
        self._asked: list[int] = []
        self._request_id = node.draw(1, REQUEST_ID_RANDOM_MAX)
        self._asked_ns = 0
        self._retry_ns = 0

    def add(self, contexts: Sequence[int]) -> None:
        """Take reads. Raises `NoLeaderError`, `TooManyReadsError`."""
        if not self._node.leader_id:
            raise NoLeaderError("no cluster leader")
        if len(self._gathered) + len(self._asked) + len(contexts) > self._node.config.reads_max:
            raise TooManyReadsError(f"more than {self._node.config.reads_max} reads wait for confirmation")
        self._gathered.extend(contexts)

    def has_gathered(self) -> bool:
        """Whether `flush` would ask."""
        return bool(self._gathered) and not self._asked

    def flush(self, now_ns: int) -> None:
        """Ask for what has gathered, unless a batch is under way."""
        if not self.has_gathered():
            return
        self._asked, self._gathered = self._gathered, []
        self._request_id += 1
        self._asked_ns = now_ns
        self._ask(now_ns)

    def tick(self, now_ns: int) -> None:
        """Ask again, or give up."""
        if not self._asked:
            return
        if now_ns >= self._asked_ns + self._node.config.read_timeout_ns:
            self._fail_asked()
        elif now_ns >= self._retry_ns:
            self._ask(now_ns)

    def wake_at(self) -> int | None:
        """When to ask again."""
        return self._retry_ns if self._asked else None

    def answered(self, message: ReadIndexResponse) -> None:
        """The leader's answer; one that belongs to another batch is ignored."""
        if not self._asked or message.request_id != self._request_id:
            return
        if message.index == 0:
            self._fail_asked()
            return
        self._node.reads.extend(ReadState(context, message.index) for context in self._asked)
        self._asked = []

    def fail_all(self) -> None:
        """The leader is gone: nobody will answer."""
        self._fail_asked()
        self._node.read_failures.extend(map(ReadFailure, self._gathered))
        self._gathered = []

    def _ask(self, now_ns: int) -> None:
        node = self._node
        self._retry_ns = now_ns + node.config.heartbeat_interval_ns
        node.messages.append(ReadIndexRequest(node.id, node.leader_id, node.term, self._request_id))

    def _fail_asked(self) -> None:
        self._node.read_failures.extend(map(ReadFailure, self._asked))
        self._asked = []
