"""Small parts without processes: codec, proposals, reads, changes, peers.json."""

import pytest

from raftd.changes import PENDING_TOPICS_MAX, Changes
from raftd.codec import EntryEncoder, MalformedMessageError, decode_message
from raftd.core.configuration import Configuration, Server
from raftd.core.effects import ReadFailure, ReadState
from raftd.core.entry import Entry, EntryKind
from raftd.core.messages import (
    AppendRequest,
    AppendResponse,
    Message,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotChunk,
    SnapshotChunkResponse,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from raftd.core.snapshot import SnapshotMeta
from raftd.proposals import LOST, UNCERTAIN_AFTER_NS, Outcome, Proposal, Proposals
from raftd.reads import Read, Reads
from raftd.recovery import PeersFileError, parse_peers

META = SnapshotMeta("2-10-5", 10, 2, Configuration((Server("a", "1.2.3.4:8300", False),)), 3, 1000)
ENTRIES = (Entry(5, 2, EntryKind.COMMAND, b"x"), Entry(6, 2, EntryKind.NOOP, b""))
MESSAGES: list[Message] = [
    VoteRequest("a", "b", 3, 10, 2, True, False),
    VoteResponse("a", "b", 3, False, True),
    AppendRequest("a", "b", 3, 7, 4, 2, 4, ENTRIES),
    AppendResponse("a", "b", 3, 7, False, 1, 2, 3, 4),
    SnapshotChunk("a", "b", 3, 7, META, 512, b"data"),
    SnapshotChunkResponse("a", "b", 3, 7, META.id, 516, 0),
    TimeoutNow("a", "b", 3),
    ReadIndexRequest("a", "b", 3, 9),
    ReadIndexResponse("a", "b", 3, 9, 10),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives_its_encoding(message: Message) -> None:
    assert decode_message(EntryEncoder().encode(message)) == message


def test_every_cut_or_foreign_message_is_refused() -> None:
    for message in MESSAGES:
        data = EntryEncoder().encode(message)
        for length in range(len(data)):
            with pytest.raises(MalformedMessageError):
                decode_message(data[:length])
    for data in (b"", b"\x00", b"\x91\x63", b"GET / HTTP/1.1", b"\x92\x03\x01"):
        with pytest.raises(MalformedMessageError):
            decode_message(data)


class Answers:
    def __init__(self) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.reads: dict[int, tuple[int, str]] = {}

    def answer(self, proposal_id: int, outcome: Outcome) -> None:
        assert proposal_id not in self.outcomes, "answered twice"
        self.outcomes[proposal_id] = outcome

    def answer_read(self, read_id: int, index: int, error: str) -> None:
        assert read_id not in self.reads, "answered twice"
        self.reads[read_id] = (index, error)


def test_a_proposal_is_answered_by_the_entry_of_its_index_and_term() -> None:
    answers, proposals = Answers(), Proposals()
    proposals.appended(10, 3, [Proposal(answers, number, b"", 1) for number in (1, 2, 3)])
    proposals.applied(9, 3, b"")
    proposals.applied(10, 3, b"ten")
    proposals.applied(11, 4, b"another's")
    proposals.leadership_lost(0)
    proposals.expire(UNCERTAIN_AFTER_NS - 1)
    assert answers.outcomes == {1: Outcome(10, b"ten", ""), 2: Outcome(0, b"", LOST)}
    proposals.expire(UNCERTAIN_AFTER_NS)
    assert answers.outcomes[3] == Outcome(0, b"", LOST, uncertain=True)
    assert len(proposals) == 0


def test_proposals_overtaken_by_a_snapshot_are_uncertain() -> None:
    answers, proposals = Answers(), Proposals()
    proposals.appended(10, 3, [Proposal(answers, number, b"", 1) for number in (1, 2)])
    proposals.skipped_to(10)
    assert answers.outcomes == {1: Outcome(0, b"", LOST, uncertain=True)}


def test_a_barrier_waits_for_the_state_machine() -> None:
    answers, reads = Answers(), Reads()
    contexts = reads.number([Read(answers, number, 1) for number in (1, 2, 3)])
    reads.confirmed([ReadState(contexts[0], 5), ReadState(contexts[1], 9)], 5)
    assert answers.reads == {1: (5, "")}
    reads.applied(8)
    assert 2 not in answers.reads
    reads.applied(9)
    assert answers.reads[2] == (9, "")
    assert [read.id for read in reads.failed([ReadFailure(contexts[2])])] == [3]
    assert len(reads) == 0


async def test_a_slow_subscriber_gets_merged_changes_and_then_a_reset() -> None:
    changes = Changes()
    changes.publish(4, ())
    subscriber = changes.subscribe()
    assert subscriber is not None
    first = await subscriber.next()
    assert (first.index, first.topics, first.reset) == (4, set(), False)
    changes.publish(5, {"a"})
    changes.publish(6, {"b", "a"})
    merged = await subscriber.next()
    assert (merged.index, merged.topics, merged.reset) == (6, {"a", "b"}, False)
    changes.publish(7, (f"t{number}" for number in range(PENDING_TOPICS_MAX + 1)))
    flooded = await subscriber.next()
    assert (flooded.index, flooded.topics, flooded.reset) == (7, set(), True)
    changes.unsubscribe(subscriber)
    assert len(changes) == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "not JSON"),
        (b'["10.0.0.1:8300"]', "a list of"),
        (b"[{}]", "server 1 has no id"),
        (b'[{"id": "a"}]', "no address"),
        (b'[{"id": "a", "address": "10.0.0.1"}]', "no address"),
        (b'[{"id": "a", "address": "10.0.0.1:1", "non_voter": 1}]', "neither true nor false"),
        (b'[{"id": "a", "address": "h:1"}, {"id": "a", "address": "h:2"}]', "twice"),
        (b'[{"id": "a", "address": "h:1"}, {"id": "b", "address": "h:1"}]', "twice"),
        (b'[{"id": "a", "address": "h:1", "non_voter": true}]', "no voter"),
        (b"[]", "no voter"),
    ],
)
def test_a_wrong_peers_file_is_refused_naming_the_mistake(content: bytes, problem: str) -> None:
    with pytest.raises(PeersFileError, match=problem):
        parse_peers(content)
