"""What must hold in every run, checked as it happens (Raft dissertation, figure 3.2, and 6.4 for reads).

Election safety: one leader per term. Log matching: an index and a term name one entry with one predecessor everywhere.
Leader completeness: a new leader has everything committed. State machine safety: everybody applies the same entries.
Durability: a vote is told, an entry acknowledged or committed only when the disks have it that need to.
Lease exclusivity: nobody is elected in a later term while a server's page promises that nobody can be.
Linearizability: all writes have a place in one order, the log's, that agrees with real time, and a read returns the
latest write of its key at some moment between its call and its answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from raftd.core.api import AppendResponse, Entry, Ready, RoleName, SnapshotMeta, VoteResponse
from sim.raft_machine import KeyValueMachine
from sim.raft_server import Server


class RuleBroken(AssertionError):
    """A checker found a violation."""


def demand(condition: bool, text: str) -> None:
    """Raise `RuleBroken` unless the condition holds."""
    if not condition:
        raise RuleBroken(text)


@dataclass(slots=True)
class RaftChecks:
    """Knows everything all servers ever did."""

    leaders: dict[int, str] = field(default_factory=dict)
    entries: dict[tuple[int, int], tuple[bytes, int]] = field(default_factory=dict)
    """(index, term) → data and the predecessor's term."""
    committed: dict[int, int] = field(default_factory=dict)
    """Index → term."""
    committed_index: int = 0
    truth: KeyValueMachine = field(default_factory=KeyValueMachine)
    digests: dict[int, str] = field(default_factory=lambda: {0: ""})
    applied_entries: dict[int, Entry] = field(default_factory=dict)
    seen_commit: dict[str, int] = field(default_factory=dict)
    votes: dict[tuple[str, int], str] = field(default_factory=dict)
    """(voter, term) → candidate."""
    servers: dict[str, Server] = field(default_factory=dict)

    def made_ready(self, server: Server, ready: Ready) -> None:
        """Check what a core asks for."""
        raft = server.raft
        assert raft is not None
        for entry in ready.entries:
            self._check_entry(server, entry)
        for message in ready.messages:
            if isinstance(message, VoteResponse) and message.granted and not message.pre_vote:
                self._check_vote(server, message)
            elif isinstance(message, AppendResponse) and message.success:
                match_index = message.match_index
                known = raft.first_index <= match_index <= raft.last_index
                demand(
                    server.disk.has_synced(match_index, raft.term_at(match_index) if known else None),
                    f"durability: {server.id} acknowledged {match_index} before it was synced",
                )
        soft_state = ready.soft_state
        if soft_state is None:
            return
        if soft_state.role == RoleName.LEADER:
            if soft_state.term not in self.leaders:
                self._check_leases(server, soft_state.term)
            first = self.leaders.setdefault(soft_state.term, server.id)
            demand(first == server.id, f"election safety: {first} and {server.id} both lead term {soft_state.term}")
            if soft_state.commit_index > self.committed_index:
                self._check_quorum_has(server, soft_state.commit_index)
        self._check_commit(server, soft_state.commit_index)
        if soft_state.role == RoleName.LEADER and self.committed_index:
            self._check_completeness(server)

    def _check_vote(self, server: Server, vote: VoteResponse) -> None:
        stored = server.disk.synced.hard_state
        demand(
            stored.term > vote.term or (stored.term, stored.vote) == (vote.term, vote.target),
            f"durability: {server.id} told its vote for {vote.target} in term {vote.term}, stored is {stored}",
        )
        first = self.votes.setdefault((server.id, vote.term), vote.target)
        demand(first == vote.target, f"{server.id} voted for {first} and {vote.target} in term {vote.term}")

    def _check_leases(self, elected: Server, term: int) -> None:
        for server in self.servers.values():
            page = server.page
            promises = page.is_leader and page.term < term and server.now_ns < page.lease_expiry_ns
            demand(server is elected or not promises, f"lease: {elected.id} elected during the lease of {server.id}")

    def _check_quorum_has(self, leader: Server, index: int) -> None:
        raft = leader.raft
        assert raft is not None
        term = raft.soft_state.term
        demand(raft.term_at(index) == term, f"{leader.id} committed {index} of an old term by counting, in term {term}")
        voters = raft.configuration.voters
        having = [voter for voter in voters if self.servers[voter].disk.has_synced(index, raft.term_at(index))]
        demand(
            2 * len(having) > len(voters),
            f"durability: {leader.id} committed {index}, of {voters} only {having} have it",
        )

    def _check_entry(self, server: Server, entry: Entry) -> None:
        raft = server.raft
        assert raft is not None
        before = raft.term_at(entry.index - 1) if entry.index > raft.first_index - 1 else 0
        known = self.entries.setdefault((entry.index, entry.term), (entry.data, before))
        demand(
            known == (entry.data, before),
            f"log matching: {server.id} has another entry or predecessor at {entry.index}, term {entry.term}",
        )

    def _check_commit(self, server: Server, index: int) -> None:
        raft = server.raft
        assert raft is not None
        start = max(self.seen_commit.get(f"{server.id}/{server.life}", 0), raft.first_index - 1)
        for position in range(start + 1, index + 1):
            term = raft.term_at(position)
            known = self.committed.setdefault(position, term)
            demand(known == term, f"state machine safety: {position} committed in terms {known} and {term}")
        self.seen_commit[f"{server.id}/{server.life}"] = index
        self.committed_index = max(self.committed_index, index)

    def _check_completeness(self, server: Server) -> None:
        raft = server.raft
        assert raft is not None
        term = raft.soft_state.term
        if self.leaders.get(max(self.leaders)) != server.id or term != max(self.leaders):
            return  # a leader of an old term that does not know it yet may lack what its successor committed
        index = self.committed_index
        demand(raft.last_index >= index, f"leader completeness: {server.id} in term {term} lacks entry {index}")
        if index >= raft.first_index:
            demand(
                raft.term_at(index) == self.committed[index],
                f"leader completeness: {server.id} in term {term} has another entry {index}",
            )

    def applied(self, server: Server, entry: Entry) -> None:
        """Check what a state machine applies."""
        machine = server.machine
        known = self.applied_entries.setdefault(entry.index, entry)
        demand(known == entry, f"state machine safety: {server.id} applied another entry {entry.index}")
        if entry.index == self.truth.applied_index + 1:
            self.truth.apply(entry)
            self.digests[entry.index] = self.truth.digest
        digest = self.digests.get(entry.index)
        demand(machine.digest == digest, f"state machine equality: {server.id} differs at {entry.index}")

    def restored(self, server: Server, meta: SnapshotMeta) -> None:
        """Check a restored state machine."""
        machine = server.machine
        demand(machine.applied_index == meta.index, f"snapshot {meta.id} holds index {machine.applied_index}")
        digest = self.digests.get(meta.index)
        demand(machine.digest == digest, f"state machine equality: {server.id} restored another state {meta.id}")

    def check_converged(self, servers: Sequence[Server]) -> None:
        """At the end all servers hold the same state."""
        states = {(server.machine.applied_index, server.machine.digest) for server in servers}
        demand(len(states) == 1, f"servers ended in different states: {sorted(states)}")


class RegisterHistory:
    """Linearizability of registers whose writes have a known total order (their log index).

    A read returns the index of the write it saw. It is linearizable with everything before it exactly if that index is
    at least every index known before it was called (by a finished write or read of the key). This is complete, because
    the order of the writes is given; `tests/sim` compares it with an exhaustive search.
    """

    def __init__(self) -> None:
        self._floor: dict[str, int] = {}
        self.writes = 0
        self.reads: dict[str, int] = {}

    def called(self, key: str) -> int:
        """An operation on `key` begins: remember what it must not be older than."""
        return self._floor.get(key, 0)

    def wrote(self, key: str, floor: int, index: int) -> None:
        """A write was acknowledged with this index."""
        demand(index > floor, f"linearizability: write of {key} got index {index}, not after {floor}")
        self._floor[key] = max(self._floor.get(key, 0), index)
        self.writes += 1

    def read(self, kind: str, key: str, floor: int, index: int) -> None:
        """A read saw the write with this index (0: none)."""
        demand(index >= floor, f"linearizability: {kind} read of {key} saw write {index}, but {floor} came before")
        self._floor[key] = max(self._floor.get(key, 0), index)
        self.reads[kind] = self.reads.get(kind, 0) + 1
