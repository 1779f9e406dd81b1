"""When a daemon is started again."""

from lictor.agent.restart import (
    BEAT_TIMEOUT_NS,
    GOOD_WHILE_NS,
    MAX_DELAY_NS,
    MAX_FAILED_STARTS,
    SECOND_NS,
    START_TIMEOUT_NS,
    Watch,
)


def test_the_first_restart_is_immediate_and_later_ones_wait_up_to_a_limit() -> None:
    watch = Watch()
    watch.ready()
    now_ns, delays = 0, []
    for _ in range(10):
        watch.started(now_ns)
        now_ns += SECOND_NS
        due_ns = watch.ended(now_ns)
        assert due_ns is not None
        delays.append(due_ns - now_ns)
        now_ns = due_ns
    assert delays[0] == 0
    assert delays == sorted(delays)
    assert delays[-1] == MAX_DELAY_NS


def test_a_daemon_that_ran_a_good_while_is_restarted_at_once_again() -> None:
    watch = Watch()
    watch.ready()
    watch.started(0)
    for _ in range(3):
        watch.ended(1)
    watch.started(100)
    assert watch.ended(100 + GOOD_WHILE_NS) == 100 + GOOD_WHILE_NS


def test_a_daemon_that_never_came_up_is_given_up() -> None:
    watch = Watch()
    outcomes = [watch.ended(0) for _ in range(MAX_FAILED_STARTS)]
    assert outcomes[-1] is None
    assert None not in outcomes[:-1]


def test_silence_counts_as_hung_sooner_once_it_has_beaten() -> None:
    watch = Watch()
    watch.started(5)
    assert watch.hung_at() == 5 + START_TIMEOUT_NS
    watch.beat(7)
    assert watch.hung_at() == 7 + BEAT_TIMEOUT_NS
    watch.started(9)
    assert watch.hung_at() == 9 + START_TIMEOUT_NS
