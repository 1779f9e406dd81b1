"""The pure parts of replication: differences, steps, pace, status."""

from hypothesis import given
from hypothesis import strategies as st

from raftd.leader.replication import pace
from raftd.leader.replication.plan import STEP_BYTES_MAX, STEP_DELETES_MAX, Plan, Step, difference, steps
from raftd.leader.replication.status import POLICIES, ROLES, TOKENS, AclReplicationStatus

objects = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 3), max_size=20)


@given(objects, objects)
def test_a_difference_makes_one_list_the_other_and_touches_nothing_else(
    local: dict[str, int], remote: dict[str, int]
) -> None:
    found = difference(local, remote)
    result = {key: value for key, value in local.items() if key not in found.deletes}
    result |= {key: remote[key] for key in found.upserts}
    assert result == remote
    assert not set(found.deletes) & set(remote)
    assert all(local.get(key) != remote[key] for key in found.upserts)
    assert difference(result, remote) == difference(remote, remote)


@given(st.lists(st.integers(1, STEP_BYTES_MAX), max_size=30), st.integers(0, 3 * STEP_DELETES_MAX), st.booleans())
def test_steps_hold_everything_once_in_order_and_no_step_is_too_large(
    sizes: list[int], deletes: int, together: bool
) -> None:
    rows = list(enumerate(sizes))
    found = steps(range(deletes), rows, lambda row: row[1], together)
    assert [row for step in found for row in step.rows] == rows
    assert [key for step in found for key in step.deletes] == list(range(deletes))
    for step in found:
        assert len(step.deletes) <= STEP_DELETES_MAX
        assert sum(size for _, size in step.rows[:-1]) < STEP_BYTES_MAX
        assert step.deletes or step.rows
        assert together or not (step.deletes and step.rows)


def test_a_small_change_that_may_be_one_command_is_one() -> None:
    assert steps(["a"], ["b"], len, together=True) == [Step(("a",), ("b",))]
    assert steps(["a"], ["b"], len) == [Step(("a",)), Step((), ("b",))]


def test_the_halves_of_a_step_are_the_step() -> None:
    step = Step(("a", "b", "c"), ("d", "e"))
    assert step.halves() == (Step(("a", "b"), ()), Step(("c",), ("d", "e")))
    assert Step(("a",)).halves() == () == Step((), ("b",)).halves()


needs = st.lists(st.sets(st.integers(0, 11), max_size=3), min_size=12, max_size=12)


@given(needs, st.permutations(range(12)))
def test_a_plan_carries_out_all_that_can_be_whatever_the_order(wanted: list[set[int]], order: list[int]) -> None:
    """A row may be set only once those it needs are there; a step is all or nothing."""
    done: set[int] = set()
    plan = Plan([Step((), tuple(order))])
    while (step := plan.next()) is not None:
        there = done | set(step.rows)
        if all(wanted[row] <= there for row in step.rows):
            done = there
            plan.accepted()
        else:
            plan.refused(step, "not yet")
    # Sets that need each other are there only if they came in one step; all others are.
    possible: set[int] = set()
    while grown := {row for row in range(12) if wanted[row] <= possible} - possible:
        possible |= grown
    assert possible <= done
    assert len(plan.problems) == 12 - len(done)


def test_pauses_double_up_to_about_a_minute_and_begin_anew_after_a_success() -> None:
    backoff = pace.Backoff()
    assert [backoff.failed() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    backoff.succeeded()
    assert backoff.failed() == 1
    away = pace.Backoff()
    assert [away.failed(unreachable=True) for _ in range(6)] == [1, 2, 4, 8, 8, 8]


@given(st.lists(st.floats(0, 3), max_size=40))
def test_turns_allow_a_burst_and_then_one_a_second(gaps: list[float]) -> None:
    turns = pace.Turns()
    now = 100.0
    taken = []
    for gap in gaps:
        now += gap
        now += turns.take(now)
        taken.append(now)
    for number, moment in enumerate(taken):
        if number >= pace.BURST:
            assert moment - taken[number - pace.BURST] >= 1 / pace.ROUNDS_PER_S - 1e-6
    free = pace.Turns()
    assert [free.take(0.0) for _ in range(pace.BURST)] == [0.0] * pace.BURST
    assert free.take(0.0) == 1.0


def test_the_status_shows_each_kind_and_starts_afresh_with_a_new_leader() -> None:
    status = AclReplicationStatus()
    assert status.shown() == {
        "Enabled": False,
        "Running": False,
        "SourceDatacenter": "",
        "ReplicationType": "",
        "ReplicatedIndex": 0,
        "ReplicatedRoleIndex": 0,
        "ReplicatedTokenIndex": 0,
        "LastSuccess": 0,
        "LastError": 0,
    }
    status.started("bj", with_tokens=True)
    status.succeeded(POLICIES, 7, 1_499_999_999)
    status.succeeded(ROLES, 8, 1_500_000_000)
    status.succeeded(TOKENS, 9, 2_600_000_000)
    status.failed(4_000_000_000)
    assert status.shown() == {
        "Enabled": True,
        "Running": True,
        "SourceDatacenter": "bj",
        "ReplicationType": "tokens",
        "ReplicatedIndex": 7,
        "ReplicatedRoleIndex": 8,
        "ReplicatedTokenIndex": 9,
        "LastSuccess": 3_000_000_000,
        "LastError": 4_000_000_000,
    }
    status.stopped()
    assert status.shown()["Running"] is False
    status.started("bj", with_tokens=False)
    assert (status.shown()["ReplicationType"], status.shown()["ReplicatedIndex"]) == ("policies", 0)
