"""One kind's loop against a primary datacenter and a state that are both in memory."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lictor.state import commands as c
from lictor.state.rows import ACLPolicy, ACLRole, ACLToken, ConfigEntry, Intention, Link
from raftd.leader.replication import kinds
from raftd.leader.replication.kinds import Kind
from raftd.leader.replication.primary import Details, NoReplicationToken, PrimaryError, Unreachable
from raftd.leader.replication.replicator import Replicator, RoundError
from raftd.proposer import NotReplicatedError
from tests.state.builders import Machine

IDS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(6)]


class Primary:
    """Rows by kind, as another datacenter shows them."""

    def __init__(self, *rows: Any, index: int = 5) -> None:
        self.rows = list(rows)
        self.index = index
        self.redacted = False
        self.error: Exception | None = None
        self.asked: list[int] = []
        self.asked_often = asyncio.Event()
        self.details_asked: list[list[str]] = []

    async def listed(self, kind: str, index: int) -> tuple[bytes, int]:
        self.asked.append(index)
        if len(self.asked) > 3:
            self.asked_often.set()
        if self.error is not None:
            raise self.error
        rows = [replace(row, secret_id="") if isinstance(row, ACLToken) else row for row in self.rows]
        rows = [replace(row, rules="") if isinstance(row, ACLPolicy) else row for row in rows]
        return msgspec.msgpack.encode(rows), self.index

    async def details(self, kind: str, keys: list[str]) -> list[Details]:
        self.details_asked.append(keys)
        found = [row for row in self.rows if (row.id if isinstance(row, ACLPolicy) else row.accessor_id) in keys]
        return [Details(msgspec.Raw(msgspec.msgpack.encode(found)), self.redacted)]


class Local:
    """A state, and the leader's way to change it."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.proposed: list[c.Command] = []
        self.leads = True

    async def propose(self, command: c.Command) -> c.AnyResult:
        if not self.leads:
            raise NotReplicatedError("No cluster leader")
        self.proposed.append(command)
        result: Any = self.machine(command)  # type: ignore[arg-type]
        return result

    @contextlib.contextmanager
    def read(self) -> Iterator[Any]:
        yield self.machine.txn

    def rows(self, kind: Kind) -> dict[Any, Any]:
        return {kind.key(row): row for row in kind.stored(self.machine.txn)}


def round_of(kind: Kind, primary: Primary, local: Local, last_index: int = 0) -> int:
    return asyncio.run(Replicator(kind, primary, local, local.read).round(last_index))


def entry(kind: str, name: str, **body: object) -> ConfigEntry:
    return ConfigEntry(kind, name, dict(body), 3, 4)


def intention(number: int, source: str = "a", destination: str = "b", action: str = "allow") -> Intention:
    return Intention(IDS[number], "", "default", source, "default", destination, "consul", action, {}, 9, 11, 22, b"h")


def policy(number: int, name: str = "p", rules: str = "") -> ACLPolicy:
    return ACLPolicy(IDS[number], name, rules=rules, hash=f"{name}{rules}".encode())


def token(number: int, description: str = "", **fields: Any) -> ACLToken:
    return ACLToken(IDS[number], f"secret{number}", description, hash=description.encode(), **fields)


# ---------------------------------------------------------------------------------------------------- one round

KINDS_AND_ROWS: list[tuple[Kind, Any, Any, Any]] = [
    (
        kinds.CONFIG_ENTRY_KIND,
        entry("service-defaults", "web", Protocol="http"),
        entry("service-defaults", "web", Protocol="grpc"),
        entry("proxy-defaults", "global", Config={}),
    ),
    (kinds.INTENTION_KIND, intention(0), intention(0, action="deny"), intention(1, "x")),
    (kinds.POLICY_KIND, policy(0), policy(0, rules='key_prefix "" { policy = "read" }'), policy(1, "q")),
    (
        kinds.ROLE_KIND,
        ACLRole(IDS[0], "r", hash=b"1"),
        ACLRole(IDS[0], "r2", policies=[Link(IDS[5], "gone")], hash=b"2"),
        ACLRole(IDS[1], "s", hash=b"3"),
    ),
    (kinds.TOKEN_KIND, token(0), token(0, "changed", policies=[Link(IDS[5], "gone")]), token(1)),
]


@pytest.mark.parametrize(
    ("kind", "first", "changed", "second"), KINDS_AND_ROWS, ids=lambda value: getattr(value, "name", "")
)
def test_a_round_creates_changes_and_removes_and_then_has_nothing_to_do(
    kind: Kind, first: Any, changed: Any, second: Any
) -> None:
    local = Local()
    for wanted in ([first], [changed, second], [second], []):
        assert round_of(kind, Primary(*wanted, index=9), local) == 9
        fingerprints = {kind.key(row): kind.fingerprint(row) for row in wanted}
        assert {key: kind.fingerprint(row) for key, row in local.rows(kind).items()} == fingerprints
        before = len(local.proposed)
        round_of(kind, Primary(*wanted), local)
        assert len(local.proposed) == before


def test_rules_and_secrets_come_with_what_changed_only() -> None:
    local, primary = Local(), Primary(policy(0, rules="a"), policy(1, "q", "b"))
    round_of(kinds.POLICY_KIND, primary, local)
    assert local.rows(kinds.POLICY_KIND)[IDS[1]].rules == "b"
    primary.rows[0] = policy(0, rules="c")
    round_of(kinds.POLICY_KIND, primary, local)
    assert primary.details_asked == [[IDS[0], IDS[1]], [IDS[0]]]
    assert local.rows(kinds.POLICY_KIND)[IDS[0]].rules == "c"
    round_of(kinds.TOKEN_KIND, Primary(token(0)), local)
    assert local.rows(kinds.TOKEN_KIND)[IDS[0]].secret_id == "secret0"


def test_tokens_whose_secrets_are_hidden_are_not_taken_over() -> None:
    local, primary = Local(), Primary(token(0))
    primary.redacted = True
    with pytest.raises(RoundError, match=r"failed to retrieve unredacted tokens .* does not grant acl:write"):
        round_of(kinds.TOKEN_KIND, primary, local)
    assert not local.proposed


def test_local_tokens_and_what_is_built_in_stay() -> None:
    local = Local()
    builtin = [IDS[0].replace("4000-8000", "0000-0000")[:-1] + number for number in "12"]
    anonymous = ACLToken(builtin[1], "anonymous", hash=b"x")
    local.machine(c.TokenSet([replace(token(3), local=True), token(4), anonymous]))
    local.machine(c.PolicySet([ACLPolicy(builtin[0], "global-management"), policy(1)]))
    round_of(kinds.TOKEN_KIND, Primary(), local)
    round_of(kinds.POLICY_KIND, Primary(), local)
    with local.read() as txn:
        accessors = {raw for raw, _ in txn.scan(b"at")}
    assert len(accessors) == 2
    assert set(local.rows(kinds.TOKEN_KIND)) == {builtin[1]}
    assert set(local.rows(kinds.POLICY_KIND)) == {builtin[0]}


def test_entries_that_lean_on_each_other_arrive_and_leave_together() -> None:
    local = Local()
    route = {"Destination": {"Service": "web", "Namespace": "default"}}
    rows = [entry("service-router", "web", Routes=[route]), entry("service-defaults", "web", Protocol="http")]
    round_of(kinds.CONFIG_ENTRY_KIND, Primary(*rows), local)
    assert len(local.rows(kinds.CONFIG_ENTRY_KIND)) == 2
    round_of(kinds.CONFIG_ENTRY_KIND, Primary(), local)
    assert local.rows(kinds.CONFIG_ENTRY_KIND) == {}
    assert len(local.proposed) == 2


def test_one_entry_that_cannot_be_taken_over_holds_up_no_other() -> None:
    local = Local()
    rows = [entry("service-defaults", name, Protocol="http") for name in "abcdefgh"]
    lonely = entry("service-router", "z", Routes=[{"Destination": {"Service": "z", "Namespace": "default"}}])
    with pytest.raises(RoundError, match="does not permit advanced routing"):
        round_of(kinds.CONFIG_ENTRY_KIND, Primary(*rows, lonely), local)
    assert len(local.rows(kinds.CONFIG_ENTRY_KIND)) == 8


def test_an_older_snapshot_in_the_primary_is_followed_although_its_indexes_are_old() -> None:
    local = Local()
    new = [entry("service-defaults", "web", Protocol="grpc"), entry("service-defaults", "later", Protocol="http")]
    round_of(kinds.CONFIG_ENTRY_KIND, Primary(*new, index=100), local)
    old = entry("service-defaults", "web", Protocol="http")
    assert round_of(kinds.CONFIG_ENTRY_KIND, Primary(old, index=50), local, 100) == 50
    rows = local.rows(kinds.CONFIG_ENTRY_KIND)
    assert {key: row.body for key, row in rows.items()} == {("service-defaults", "web"): {"Protocol": "http"}}


def test_a_server_that_is_behind_takes_nothing_back() -> None:
    """Its old index gives it away; what the primary datacenter has now is asked for."""

    class Lagging(Primary):
        async def listed(self, kind: str, index: int) -> tuple[bytes, int]:
            body, now = await super().listed(kind, index)
            return (msgspec.msgpack.encode([]), 3) if index else (body, now)

    local, primary = Local(), Lagging(intention(0), index=9)
    assert round_of(kinds.INTENTION_KIND, primary, local) == 9
    assert round_of(kinds.INTENTION_KIND, primary, local, 9) == 9
    assert primary.asked == [0, 9, 0]
    assert len(local.proposed) == 1 and local.rows(kinds.INTENTION_KIND)


states = st.dictionaries(st.integers(0, 5), st.sampled_from("abc"), max_size=6)


@given(states, states)
def test_any_valid_state_becomes_any_other(before: dict[int, str], after: dict[int, str]) -> None:
    """Names are unique in each of them, but may go from one object to another on the way."""
    local = Local()
    for state in (before, after):
        rows = [intention(number, f"{name}{rank}") for rank, (number, name) in enumerate(state.items())]
        round_of(kinds.INTENTION_KIND, Primary(*rows), local)
        found = local.rows(kinds.INTENTION_KIND)
        assert {key: row.source_name for key, row in found.items()} == {row.id: row.source_name for row in rows}
        policies = [policy(number, f"{name}{rank}") for rank, (number, name) in enumerate(state.items())]
        round_of(kinds.POLICY_KIND, Primary(*policies), local)
        found = local.rows(kinds.POLICY_KIND)
        assert {key: row.name for key, row in found.items()} == {row.id: row.name for row in policies}


# ---------------------------------------------------------------------------------------------------- the loop


class Outcomes:
    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.wake = asyncio.Event()

    def succeeded(self, kind: str, index: int, now_ns: int) -> None:
        self.told.append((kind, index))
        self.wake.set()

    def failed(self, now_ns: int) -> None:
        self.told.append(("failed", 0))
        self.wake.set()

    async def next(self) -> tuple[str, int]:
        async with asyncio.timeout(10):
            await self.wake.wait()
        self.wake.clear()
        return self.told[-1]


@contextlib.asynccontextmanager
async def running(primary: Primary, local: Local, outcomes: Outcomes, kind: Kind = kinds.POLICY_KIND) -> Any:
    task = asyncio.create_task(Replicator(kind, primary, local, local.read, outcomes).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_after_an_error_everything_is_asked_for_again() -> None:
    primary, local, outcomes = Primary(policy(0)), Local(), Outcomes()
    async with running(primary, local, outcomes):
        assert await outcomes.next() == ("acl-policies", 5)
        primary.error = Unreachable("No path to datacenter")
        while (await outcomes.next())[0] != "failed":
            pass
        asked = len(primary.asked)
        primary.error = None
        while await outcomes.next() != ("acl-policies", 5):
            pass
    assert primary.asked[0] == 0
    assert primary.asked[asked - 1] == 5
    assert primary.asked[asked] == 0


async def test_without_a_token_it_waits_and_counts_neither_success_nor_error() -> None:
    primary, local, outcomes = Primary(policy(0)), Local(), Outcomes()
    primary.error = NoReplicationToken("none")
    async with running(primary, local, outcomes):
        await primary.asked_often.wait()
        assert outcomes.told == []
        primary.error = None
        assert await outcomes.next() == ("acl-policies", 5)


async def test_nothing_is_applied_after_leadership_was_lost() -> None:
    primary, local, outcomes = Primary(policy(0)), Local(), Outcomes()
    local.leads = False
    async with running(primary, local, outcomes):
        assert (await outcomes.next())[0] == "failed"
    assert local.rows(kinds.POLICY_KIND) == {}


async def test_an_answer_that_is_not_understood_is_an_error_like_any_other() -> None:
    class Strange(Primary):
        async def listed(self, kind: str, index: int) -> tuple[bytes, int]:
            return b"\xc1", 3

    with pytest.raises(RoundError, match="are not understood"):
        await Replicator(kinds.ROLE_KIND, Strange(), Local(), Local().read).round(0)
    assert issubclass(Unreachable, PrimaryError)
