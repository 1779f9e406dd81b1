"""What watchers are told: replaying it gives the state, whatever was missed, merged or forgotten."""

import random

import pytest

from apid.core.journal import Journal
from apid.core.server_sent_events import decode_event, encode_event, frames, join_indexes, split_indexes

SEEDS = range(50)


class Copy:
    """A client's copy, as the contract tells clients to keep it."""

    def __init__(self) -> None:
        self.index = 0
        self.rows: dict[str, int] = {}

    def take(self, journal: Journal[str], state: dict[str, int]) -> bool:
        delta = journal.delta(self.index)
        if delta.reset:
            self.rows.clear()
        for identity in delta.upserts:
            self.rows[identity] = state[identity]
        for identity in delta.deletes:
            self.rows.pop(identity, None)
        self.index = journal.index
        return delta.reset


@pytest.mark.parametrize("seed", SEEDS)
def test_replayed_deltas_give_the_state_for_fast_and_slow_copies(seed: int) -> None:
    source = random.Random(seed)
    max_removed = source.choice((2, 8, 4096))
    journal: Journal[str] = Journal(max_removed)
    state: dict[str, int] = {}
    journal.restart(1, state)
    copies = [Copy() for _ in range(5)]
    index = 1
    for _ in range(300):
        for _ in range(source.randrange(4)):
            index += 1
            key = f"k{source.randrange(12)}"
            if source.random() < 0.4:
                state.pop(key, None)
            else:
                state[key] = index
        journal.advance(index, state)
        for number, copy in enumerate(copies):
            if source.randrange(3**number) == 0:
                copy.take(journal, state)
                assert copy.rows == state, f"seed {seed}"
        if source.random() < 0.01:
            index += 1
            state = {"restored": index - 5}
            journal.restart(index, state)


def test_only_what_changed_is_told() -> None:
    journal: Journal[str] = Journal()
    journal.restart(5, {"a": 1, "b": 2})
    assert journal.advance(6, {"a": 1, "b": 6}).upserts == ["b"]
    assert journal.advance(7, {"b": 6}).deletes == ["a"]
    assert not journal.advance(8, {"b": 6})
    delta = journal.delta(5)
    assert (delta.reset, delta.upserts, delta.deletes) == (False, ["b"], ["a"])
    assert not journal.delta(8)


def test_an_index_that_is_not_covered_gets_the_whole_state() -> None:
    journal: Journal[str] = Journal(max_removed=1)
    journal.restart(5, {"a": 1, "b": 2, "c": 3})
    assert journal.delta(0).reset
    assert journal.delta(4).reset
    assert not journal.delta(5).reset
    assert journal.delta(9).reset
    journal.advance(6, {"b": 2, "c": 3})
    journal.advance(7, {"c": 3})
    # The removal at 6 is forgotten: who knows 5 cannot be told of it any more.
    assert journal.delta(5).reset
    assert not journal.delta(6).reset
    assert len(journal) == 2


async def test_events_are_found_in_pieces_cut_anywhere() -> None:
    whole = b"retry: 1000\n\n:\n\n" + encode_event(b"update", b"5-0", b'{"a":1}') + encode_event(b"error", b"", b"{}")
    for size in range(1, len(whole) + 1):

        async def pieces(size: int = size):  # type: ignore[no-untyped-def]
            for start in range(0, len(whole), size):
                yield whole[start : start + size]

        events = [event async for frame in frames(pieces()) if (event := decode_event(frame)) is not None]
        assert [(event.name, event.id, event.data) for event in events] == [
            ("update", "5-0", b'{"a":1}'),
            ("error", "", b"{}"),
        ]


def test_an_event_id_that_does_not_fit_the_topics_starts_anew() -> None:
    assert split_indexes(join_indexes((5, 0, 7)).decode(), 3) == (5, 0, 7)
    for text in ("5-0", "5-0-7-1", "x-0-1", "5--1", "-1-0-1", "٣-1-1", "9" * 30 + "-1-1"):
        assert split_indexes(text, 3) == (0, 0, 0)
