"""The log's bookkeeping: terms, cuts, compaction, writes under way, the cache."""

import random

from raftd.core.api import Entry, EntryKind, LogSummary
from raftd.core.log import Log
from raftd.core.quorum import VoteResult, majority, reached_by_quorum, vote_result


def entry(index: int, term: int) -> Entry:
    return Entry(index, term, EntryKind.COMMAND, b"12345678")


class Reader:
    """Remembers all entries, as a disk would."""

    def __init__(self) -> None:
        self.kept: dict[int, Entry] = {}

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        return [self.kept[index] for index in range(low, high + 1)]


def test_the_summary_agrees_with_a_plain_list() -> None:
    for seed in range(50):
        draw = random.Random(seed)
        summary, plain, before, term = LogSummary(), {0: 0}, 0, 0
        for _ in range(200):
            last = max(plain)
            dice = draw.random()
            if dice < 0.7:
                term += draw.random() < 0.2
                plain[last + 1] = term
                summary.append(entry(last + 1, term))
            elif dice < 0.85 and last > before:
                cut = draw.randint(before + 1, last)
                plain = {index: t for index, t in plain.items() if index < cut}
                summary.cut(cut)
                term = max(term, plain[max(plain)])
            elif last > before:
                before = draw.randint(before, last)
                plain = {index: t for index, t in plain.items() if index >= before}
                summary.compact(before)
            expected = [plain.get(index) for index in range(-1, max(plain) + 3)]
            assert [summary.term(index) for index in range(-1, max(plain) + 3)] == expected, f"seed {seed}"
            assert (summary.last_index, summary.last_term) == (max(plain), plain[max(plain)])
            probe, limit = draw.randint(before, max(plain) + 2), draw.randint(0, term + 1)
            fitting = [index for index, t in plain.items() if index <= probe and t <= limit]
            found = summary.last_index_with_term_at_most(probe, limit)
            assert found == max(fitting, default=before - 1), f"seed {seed}"


def test_a_write_that_a_cut_overtook_makes_nothing_durable_that_came_later() -> None:
    log = Log(LogSummary(), Reader(), 1 << 20)
    log.append([entry(1, 1), entry(2, 1)])
    log.take_unwritten(1)
    log.cut(2)
    log.append([entry(2, 2)])
    log.take_unwritten(2)
    log.cut(2)
    log.append([entry(2, 3), entry(3, 3)])
    log.take_unwritten(3)
    log.persisted(2)
    assert log.durable_index == 1
    log.persisted(3)
    assert log.durable_index == 3


def test_the_cache_is_bounded_and_the_reader_fills_in() -> None:
    reader = Reader()
    log = Log(LogSummary(), reader, cache_max_bytes=1000)
    for index in range(1, 501):
        log.append([entry(index, 1)])
        reader.kept[index] = entry(index, 1)
        log.take_unwritten(index)
        log.persisted(index)
        assert log._cache_bytes <= 1000
    for low, high in ((1, 500), (490, 500), (1, 3), (500, 500)):
        found: list[Entry] = []
        while not found or found[-1].index < high:
            found.extend(log.entries(found[-1].index + 1 if found else low, high, 1 << 20, 100))
        assert [e.index for e in found] == list(range(low, high + 1))


def test_what_is_not_durable_stays_in_memory() -> None:
    log = Log(LogSummary(), Reader(), cache_max_bytes=0)
    log.append([entry(index, 1) for index in range(1, 101)])
    log.take_unwritten(1)
    assert len(log.entries(1, 100, 1 << 20, 1000)) == 100


def test_byte_limits_give_at_least_one_entry() -> None:
    log = Log(LogSummary(), Reader(), 1 << 20)
    log.append([entry(index, 1) for index in range(1, 11)])
    assert len(log.entries(1, 10, 1, 1000)) == 1
    assert len(log.entries(1, 10, 120, 1000)) == 3


def test_majorities() -> None:
    assert [majority(count) for count in range(1, 8)] == [1, 2, 2, 3, 3, 4, 4]
    assert reached_by_quorum([]) == 0
    assert reached_by_quorum([7]) == 7
    assert reached_by_quorum([9, 1, 5]) == 5
    assert reached_by_quorum([9, 1]) == 1
    assert reached_by_quorum([4, 3, 2, 1]) == 2


def test_votes_of_strangers_do_not_count() -> None:
    voters = ("a", "b", "c")
    assert vote_result(voters, {"a", "x", "y"}, set()) == VoteResult.OPEN
    assert vote_result(voters, {"a", "c"}, {"b"}) == VoteResult.WON
    assert vote_result(voters, {"a"}, {"b", "c"}) == VoteResult.LOST
