"""Leadership transfer (Raft dissertation 3.10): stop taking proposals, bring the successor up to date, tell it to
campaign at once.

Its campaign overrides the voters' loyalty to this leader, at any later time, since messages may be late. So from the
first such message on this leader has no lease for the rest of its term, even if the transfer is given up.
"""

from raftd.core.errors import TransferInProgressError, TransferTargetError
from raftd.core.messages import TimeoutNow
from raftd.core.node import Node
from raftd.core.progress import Progress
from raftd.core.replication import Replication


class Transfer:
    """At most one transfer at a time."""

    def __init__(self, node: Node, replication: Replication) -> None:
        self._node = node
        self._replication = replication
        self._target_id = ""
        self.deadline_ns: int | None = None
        self.lease_revoked = False

    @property
    def is_active(self) -> bool:
        """Whether proposals must be refused."""
        return self.deadline_ns is not None

    def begin(self, now_ns: int, target_id: str) -> str:
        """Choose a successor: `target_id`, or for "" the most advanced voter. Returns its id.

        Raises `TransferInProgressError`, `TransferTargetError`.
        """
        if self.is_active:
            raise TransferInProgressError(f"leadership is being transferred to {self._target_id}")
        self._target_id = self._choose(target_id).id
        self.deadline_ns = now_ns + self._node.config.election_timeout_ns
        self.maybe_hand_over()
        return self._target_id

    def tick(self, now_ns: int) -> None:
        """Give up after an election timeout."""
        if self.deadline_ns is not None and now_ns >= self.deadline_ns:
            self.deadline_ns = None

    def maybe_hand_over(self) -> None:
        """Tell the successor to campaign, if it has everything."""
        if not self.is_active:
            return
        progress = self._replication.peers.get(self._target_id)
        if progress is not None and progress.match_index == self._node.log.last_index:
            self._tell(progress)

    def depart(self) -> None:
        """A leader that is removed lets the most advanced voter campaign."""
        self._tell(self._choose(""))

    def _choose(self, target_id: str) -> Progress:
        node = self._node
        candidates = [
            progress
            for progress in self._replication.peers.values()
            if progress.id in node.membership.voters and target_id in ("", progress.id)
        ]
        if not candidates:
            raise TransferTargetError(f"no other voter {target_id}".rstrip())
        return max(candidates, key=lambda progress: (progress.match_index, progress.contact_ns, progress.id))

    def _tell(self, progress: Progress) -> None:
        self.lease_revoked = True
        self._node.messages.append(TimeoutNow(self._node.id, progress.id, self._node.term))
