"""Who is woken by what, and what the leader refuses before it proposes."""

from __future__ import annotations

import pytest

from lictor.state import commands as c
from lictor.state import prepare, topics
from lictor.state.apply import apply_batch
from lictor.state.gotext import DurationError, format_duration, parse_duration_ns, quote
from lictor.state.precheck import LockDelays, precheck, session_ttl_problem
from lictor.state.rows import Node
from lictor.state.topics import Waiters
from lictor.state.writer import Refused, ReleasedLock
from tests.state.builders import SESSION, Machine, config, service, session


def _waiting() -> Waiters[str]:
    waiters: Waiters[str] = Waiters()
    waiters.add("key", [topics.kv(b"a/b")])
    waiters.add("other key", [topics.kv(b"a/bc")])
    waiters.add("prefix", [topics.kv_prefix(b"a/")])
    waiters.add("root", [topics.kv_prefix(b"")])
    waiters.add("service", [topics.service("Web")])
    waiters.add("table", [topics.NODES, topics.SERVICES])
    return waiters


@pytest.mark.parametrize(
    ("changed", "woken"),
    [
        (["kv:a/b"], {"key", "prefix", "root"}),
        (["kv:a"], {"root"}),
        (["kv-prefix:a/b"], {"key", "other key", "prefix", "root"}),
        (["kv-prefix:z"], {"root"}),
        (["kv-prefix:"], {"key", "other key", "prefix", "root"}),
        (["service:web"], {"service"}),
        (["service:webx", "node:web"], set()),
        (["services"], {"table"}),
        (["*"], {"key", "other key", "prefix", "root", "service", "table"}),
    ],
)
def test_a_change_wakes_exactly_its_watchers(changed: list[str], woken: set[str]) -> None:
    assert _waiting().woken(changed) == woken


def test_who_waits_no_more_is_not_woken() -> None:
    waiters = _waiting()
    for name in ("prefix", "root", "root"):
        waiters.remove(name)
    assert waiters.woken(["kv:a/b"]) == {"key"}
    assert len(waiters) == 4


def test_a_prefix_is_cut_at_bytes_not_at_characters() -> None:
    waiters: Waiters[int] = Waiters()
    waiters.add(1, [topics.kv_prefix("é".encode()[:1])])
    assert waiters.woken([topics.kv("é".encode())]) == {1}
    assert topics.key_bytes(topics.key_text(bytes(range(256)))) == bytes(range(256))


def test_a_lock_delay_refuses_locks_until_it_is_over() -> None:
    delays = LockDelays()
    delays.start([ReleasedLock(b"l", 100)], now_ns=1000)
    lock = c.KV("lock", b"l", session=SESSION)
    assert precheck(lock, delays, 1099) == c.Outcome(False)
    assert precheck(c.KV("set", b"l"), delays, 1099) is None
    assert precheck(c.Txn([c.TxnKV("get", b"x"), c.TxnKV("lock", b"l")]), delays, 1099) == c.TxnResult(
        [], [c.TxnError(1, 'failed to lock key "l" due to lock delay')]
    )
    assert precheck(lock, delays, 1100) is None
    assert len(delays) == 0


def test_the_end_of_a_session_names_the_keys_to_delay() -> None:
    machine = Machine()
    machine.register()
    machine(session())
    machine(c.KV("lock", b"l", session=SESSION))
    applied = apply_batch(machine.txn, [(20, c.encode_command(c.SessionDestroy(SESSION)))])
    assert applied.released_locks == [ReleasedLock(b"l", 15 * 10**9)]
    assert applied.destroyed_sessions == [SESSION]


@pytest.mark.parametrize(
    ("ttl", "problem"),
    [
        ("", ""),
        ("10s", ""),
        ("0s", ""),
        ("9s", "Invalid Session TTL '9000000000', must be between [10s=24h0m0s]"),
        ("86401s", "Invalid Session TTL '86401000000000', must be between [10s=24h0m0s]"),
        ("abc", "Session TTL 'abc' invalid: time: invalid duration abc"),
    ],
)
def test_a_session_ttl_has_bounds(ttl: str, problem: str) -> None:
    assert session_ttl_problem(ttl) == problem


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (c.Register(Node("", "", "", "dc1")), "Must provide node"),
        (c.Register(Node("", "n", "", "dc1")), "Must provide address if SkipNodeUpdate is not set"),
        (c.Register(Node("bogus", "n", "a", "dc1")), "Bad node ID: uuid string is wrong length"),
        (c.Register(Node("", "n", "a", "dc1"), service("", "x")), "Must provide service name with ID"),
        (c.Register(Node("", "n", "a", "dc1"), service("x", address="0.0.0.0")), "Invalid service address"),
        (
            c.Register(Node("", "n", "a", "dc1"), service("x", kind="connect-proxy", port=1)),
            "1 error occurred:\n\t* Proxy.DestinationServiceName must be non-empty for Connect proxy services\n\n",
        ),
    ],
)
def test_a_registration_that_cannot_be_right_is_refused(command: c.Register, problem: str) -> None:
    with pytest.raises(Refused) as caught:
        prepare.register(command)
    assert caught.value.text == problem


@pytest.mark.parametrize(
    ("text", "nanoseconds", "shown"),
    [
        ("0", 0, "0s"),
        ("15s", 15 * 10**9, "15s"),
        ("1.5h", 5400 * 10**9, "1h30m0s"),
        ("-1m30s", -90 * 10**9, "-1m30s"),
        ("200ms", 200 * 10**6, "200ms"),
        ("1500us", 1_500_000, "1.5ms"),
        ("7ns", 7, "7ns"),
    ],
)
def test_durations_are_read_and_written_as_go_does(text: str, nanoseconds: int, shown: str) -> None:
    assert parse_duration_ns(text) == nanoseconds
    assert format_duration(nanoseconds) == shown


@pytest.mark.parametrize("text", ["", "10", "s", "1x", "1s1", "--1s", "10000000000h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(DurationError, match="time: "):
        parse_duration_ns(text)


def test_texts_are_quoted_as_go_does() -> None:
    assert quote('a"b\\c\n\x00é\u2028') == '"a\\"b\\\\c\\n\\x00é\\u2028"'
    assert quote(b"\xff".decode("utf-8", "surrogateescape")) == '"\\xff"'


def test_a_malformed_command_is_refused_and_changes_nothing() -> None:
    machine = Machine()
    refused = machine(config("service-splitter", "web", Splits=[{"Weight": "x", "Service": 5}]))
    assert isinstance(refused, c.Failed) and "command at index 10 is malformed" in refused.text
    assert machine.txn.items() == []
    applied = apply_batch(machine.txn, [(11, b"garbage"), (12, c.encode_command(c.KV("zap", b"k")))])
    assert [type(result) for result in applied.results] == [c.Failed, c.Failed]
    assert machine.txn.items() == []
