"""What a request's token lets it do, on a server: from the local state, at once after every change."""

import asyncio
import time

import pytest
from msgspec.structs import replace

from apid.core.message import Request, Response
from lictor.acl.builtin import anonymous_token
from lictor.state import commands as c
from lictor.state.rows import Link
from tests.apid.access_world import World, token_delete, token_set

DEADLINE_S = 5.0
NOT_FOUND = (403, "ACL not found")
DENIED = (403, "Permission denied")
READ_A = 'key "a" { policy = "read" }'
READ_ALL = 'key_prefix "" { policy = "read" }'


def stored(world: World, *names: str, value: bytes = b"") -> None:
    for name in names:
        world.apply(c.KV("set", name.encode(), value or name.upper().encode()))


@pytest.fixture
def world() -> World:
    world = World()
    stored(world, "a", "b")
    world.policy("read-a", READ_A)
    world.token("alice", "read-a")
    return world


async def test_the_tokens_policies_decide(world: World) -> None:
    assert await world.get("/v1/kv/a", "alice") == (200, "A")
    assert await world.get("/v1/kv/b", "alice") == DENIED
    assert await world.get("/v1/kv/?recurse", "alice") == (200, "a")


async def test_an_unknown_token_is_refused_whatever_it_asks(world: World) -> None:
    assert await world.get("/v1/kv/a", "nobody") == NOT_FOUND
    assert await world.get("/v1/kv/?recurse", "nobody") == NOT_FOUND
    assert await world.get("/v1/kv/a", "ALICE") == NOT_FOUND


@pytest.mark.parametrize("name", ["allow", "deny", "manage"])
async def test_the_names_of_built_in_rights_are_no_tokens(world: World, name: str) -> None:
    assert await world.get("/v1/kv/a", name) == (500, "Cannot resolve root ACL")


async def test_without_a_token_the_anonymous_one_counts(world: World) -> None:
    assert await world.get("/v1/kv/a") == DENIED
    world.apply(_anonymous("read-a"))
    assert await world.get("/v1/kv/a") == (200, "A")


async def test_without_a_token_the_agents_default_token_counts_but_not_for_those_from_another_agent() -> None:
    world = World(default="alice")
    stored(world, "a")
    world.policy("read-a", READ_A)
    world.token("alice", "read-a")
    assert await world.get("/v1/kv/a") == (200, "A")
    assert await world.get("/v1/kv/a", hops=1) == DENIED


async def test_what_no_rule_speaks_of_is_decided_by_the_default_policy() -> None:
    world = World(default_policy="allow")
    stored(world, "a")
    world.policy("deny-b", 'key "b" { policy = "deny" }')
    world.token("alice", "deny-b")
    assert await world.get("/v1/kv/a", "alice") == (200, "A")
    assert await world.get("/v1/kv/b", "alice") == DENIED


async def test_an_expired_token_is_none_before_it_is_deleted(world: World) -> None:
    world.token("brief", "read-a", expiration_time_ns=time.time_ns() + 50_000_000)
    assert await world.get("/v1/kv/a", "brief") == (200, "A")
    deadline_s = time.monotonic() + DEADLINE_S
    while (answer := await world.get("/v1/kv/a", "brief")) != NOT_FOUND:
        assert time.monotonic() < deadline_s, answer


async def test_policies_of_another_datacenter_grant_nothing_here(world: World) -> None:
    world.policy("elsewhere", READ_ALL, ["dc2"])
    world.policy("here", 'key "b" { policy = "read" }', ["dc2", "dc1"])
    world.token("bob", "elsewhere", "here")
    assert await world.get("/v1/kv/?recurse", "bob") == (200, "b")


async def test_every_change_counts_from_the_next_request_on(world: World) -> None:
    world.role("reader")
    world.token("carol", roles=("reader",))
    assert await world.get("/v1/kv/a", "carol") == DENIED
    world.role("reader", "read-a")
    assert await world.get("/v1/kv/a", "carol") == (200, "A")
    world.policy("read-a", 'key "b" { policy = "read" }')
    assert await world.get("/v1/kv/a", "carol") == DENIED
    world.token("carol", "read-a")
    assert await world.get("/v1/kv/b", "carol") == (200, "B")
    world.apply(c.PolicyDelete(["read-a"]))
    assert await world.get("/v1/kv/b", "carol") == DENIED
    world.apply(token_delete("carol"))
    assert await world.get("/v1/kv/b", "carol") == NOT_FOUND


async def test_a_restored_state_is_looked_at_anew(world: World) -> None:
    assert await world.get("/v1/kv/a", "alice") == (200, "A")
    # The same indexes, in another generation.
    other = World()
    stored(other, "a")
    other.machine.index = world.machine.index
    world.state.generation += 1
    world.machine.txn = other.machine.txn
    assert await world.get("/v1/kv/a", "alice") == NOT_FOUND


async def test_a_repeated_decision_reads_no_state(world: World) -> None:
    request = Request("GET", "/v1/kv/a", b"", [(b"x-consul-token", b"alice")])
    world.access.current(request)
    reads = world.state.reads
    assert world.access.current(request) is world.access.current(request)
    assert world.state.reads == reads


async def test_the_agents_master_token_is_good_for_its_own_endpoints_only() -> None:
    world = World(agent_master="own")
    assert await world.get("/v1/agent/self", "own") == (200, "{}")
    assert await world.get("/v1/agent/self") == DENIED
    assert await world.get("/v1/kv/a", "own") == NOT_FOUND


def test_before_version_8_nodes_and_sessions_are_not_guarded_but_services_are() -> None:
    world = World(rules={"enforce_version_8": False})
    authorizer = world.access.renewed(Request("GET", "/v1/kv/a", b"", []))
    assert authorizer.node_read("n") and authorizer.node_write("n") and authorizer.session_write("n")
    assert authorizer.service_read("consul")
    assert not authorizer.service_read("web") and not authorizer.key_read("a")
    assert not authorizer.allows_all


# ------------------------------------------------------------------------------------------------------ kept answers


@pytest.fixture
def kept(world: World) -> Response:
    answer = world.answer("/v1/kv/a", "alice")
    assert isinstance(answer, Response)
    assert answer.fresh is not None
    assert answer.fresh()
    return answer


def fresh(answer: Response) -> bool:
    assert answer.fresh is not None
    return answer.fresh()


def test_a_kept_answer_ends_with_its_token(world: World, kept: Response) -> None:
    world.apply(token_delete("alice"))
    assert not fresh(kept)


def test_a_kept_answer_ends_when_a_policy_of_its_token_changes(world: World, kept: Response) -> None:
    world.policy("read-a", 'key "b" { policy = "read" }')
    assert not fresh(kept)


def test_a_kept_answer_outlives_changes_of_others_tokens(world: World, kept: Response) -> None:
    world.token("bob", "read-a")
    world.policy("other", READ_ALL)
    assert fresh(kept)


def test_a_kept_answer_ends_when_its_token_expires(world: World) -> None:
    world.token("brief", "read-a", expiration_time_ns=time.time_ns() + 50_000_000)
    answer = world.answer("/v1/kv/a", "brief")
    assert isinstance(answer, Response)
    deadline_s = time.monotonic() + DEADLINE_S
    while fresh(answer):
        assert time.monotonic() < deadline_s


def test_a_kept_answer_ends_when_the_agent_gets_another_default_token() -> None:
    world = World(default="alice")
    stored(world, "a")
    world.policy("read-a", READ_A)
    world.token("alice", "read-a")
    answer = world.answer("/v1/kv/a")
    assert isinstance(answer, Response)
    assert fresh(answer)
    world.tokens.default = ""
    assert not fresh(answer)


# -------------------------------------------------------------------------------------------------- blocking queries


async def blocked(world: World, path: str, secret: str) -> asyncio.Task[tuple[int, str]]:
    world.changes.waiting.clear()
    task = asyncio.create_task(world.get(f"{path}&index={world.machine.index}&wait=60s", secret))
    async with asyncio.timeout(DEADLINE_S):
        await world.changes.waiting.wait()
    return task


async def test_a_blocking_query_ends_with_its_token(world: World) -> None:
    task = await blocked(world, "/v1/kv/?recurse", "alice")
    world.apply(token_delete("alice"))
    async with asyncio.timeout(DEADLINE_S):
        assert await task == NOT_FOUND


async def test_a_blocking_query_answers_by_new_rights_at_once(world: World) -> None:
    many, one = await blocked(world, "/v1/kv/?recurse", "alice"), await blocked(world, "/v1/kv/a?", "alice")
    world.policy("read-a", 'key "b" { policy = "read" }')
    async with asyncio.timeout(DEADLINE_S):
        assert await many == (200, "b")
        assert await one == DENIED


async def test_a_blocking_query_goes_on_when_others_rights_change(world: World) -> None:
    task = await blocked(world, "/v1/kv/a?", "alice")
    world.token("bob", "read-a")
    world.policy("other", READ_ALL)
    await asyncio.sleep(0)
    assert not task.done()
    stored(world, "a", value=b"new")
    async with asyncio.timeout(DEADLINE_S):
        assert await task == (200, "new")


async def test_a_blocking_query_without_token_ends_when_the_agent_gets_another_default_token() -> None:
    world = World(default="alice")
    stored(world, "a")
    world.policy("read-a", READ_A)
    world.token("alice", "read-a")
    task = await blocked(world, "/v1/kv/a?", "")
    world.tokens.default = ""
    world.access.look_again()
    async with asyncio.timeout(DEADLINE_S):
        assert await task == DENIED


# -------------------------------------------------------------------------------------------------------- followers


async def test_a_follower_knows_tokens_that_it_has_not_applied_yet(world: World) -> None:
    world.state.leads = False
    world.consensus.arriving = [token_set("new", "read-a")]
    assert await world.get("/v1/kv/a", "new") == (200, "A")
    assert world.consensus.barriers == 1


async def test_a_follower_knows_changes_that_it_has_not_applied_yet(world: World) -> None:
    assert await world.get("/v1/kv/a", "alice") == (200, "A")
    world.state.leads = False
    world.consensus.arriving = [token_delete("alice")]
    assert await world.get("/v1/kv/a", "alice") == NOT_FOUND


async def test_a_follower_answers_stale_reads_by_what_it_has(world: World) -> None:
    world.state.leads = False
    assert await world.get("/v1/kv/a?stale", "alice") == (200, "A")
    assert await world.get("/v1/kv/a?stale", "nobody") == NOT_FOUND
    assert world.consensus.barriers == 0


async def test_a_consistent_read_is_confirmed_by_the_leader_itself_too(world: World) -> None:
    assert await world.get("/v1/kv/a?consistent", "alice") == (200, "A")
    assert world.consensus.barriers == 1


def _anonymous(*policies: str) -> c.TokenSet:
    return c.TokenSet([replace(anonymous_token(0), policies=[Link(each, each) for each in policies])])
