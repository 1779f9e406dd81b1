"""What a request's token lets it do where others know the tokens: on client agents and in secondary datacenters."""

import asyncio
import time
from typing import Any

import pytest

from apid.core.dispatcher import Dispatcher
from apid.core.message import Request
from apid.core.remembered import Age, RememberedTokens, Resolved
from apid.endpoints.acl_resolve import AclResolveEndpoints
from lictor import telemetry
from lictor.config.runtime import SECOND_NS
from lictor.state.rows import ACLPolicy, ACLRole, ACLToken, Link
from tests.apid.access_world import OtherServers, World, token_delete, token_set

DEADLINE_S = 5.0
OK = (200, "{}")
NOT_FOUND = (403, "ACL not found")
DENIED = (403, "Permission denied")
READ_AGENT = 'agent_prefix "" { policy = "read" }'
READ_NODE = 'node_prefix "" { policy = "read" }'
TTL: dict[str, Any] = {
    "token_ttl_ns": 3600 * SECOND_NS,
    "policy_ttl_ns": 3600 * SECOND_NS,
    "role_ttl_ns": 3600 * SECOND_NS,
}
NO_TTL: dict[str, Any] = {"token_ttl_ns": 0, "policy_ttl_ns": 0, "role_ttl_ns": 0}


@pytest.fixture
def server() -> World:
    world = World()
    world.policy("read-agent", READ_AGENT)
    world.role("operator", "read-agent")
    world.token("alice", "read-agent")
    world.token("carol", roles=("operator",))
    return world


def client_of(server: World, **rules: Any) -> tuple[World, OtherServers]:
    servers = OtherServers(server)
    return World(servers=servers, server_mode=False, rules={**TTL, **rules}, agent_master="own"), servers


async def test_a_client_agent_asks_a_server(server: World) -> None:
    client, _ = client_of(server)
    assert await client.get("/v1/agent/self", "alice") == OK
    assert await client.get("/v1/agent/self", "carol") == OK
    assert await client.get("/v1/agent/self", "nobody") == NOT_FOUND
    assert await client.get("/v1/agent/self") == DENIED


async def test_what_is_remembered_and_what_is_asked_is_counted(server: World) -> None:
    hits, misses = telemetry.counter("acl.token.cache_hit"), telemetry.counter("acl.token.cache_miss")
    resolutions = telemetry.sample("acl.ResolveToken")
    before = (hits.total_count, misses.total_count, resolutions.total_count)
    client, _ = client_of(server)
    for _ in range(3):
        await client.get("/v1/agent/self", "alice")
    assert (hits.total_count - before[0], misses.total_count - before[1]) == (2, 1)
    assert resolutions.total_count - before[2] == 3


async def test_answers_are_remembered_good_and_bad(server: World) -> None:
    client, servers = client_of(server)
    for secret in ("alice", "nobody"):
        await client.get("/v1/agent/self", secret)
    server.apply(token_delete("alice"))
    server.token("nobody", "read-agent")
    asked = servers.asked
    assert await client.get("/v1/agent/self", "alice") == OK
    assert await client.get("/v1/agent/self", "nobody") == NOT_FOUND
    assert servers.asked == asked


@pytest.mark.parametrize("which", ["token_ttl_ns", "policy_ttl_ns", "role_ttl_ns"])
async def test_when_the_time_of_one_part_is_over_all_is_asked_anew(server: World, which: str) -> None:
    client, _ = client_of(server, **{which: 0})
    assert await client.get("/v1/agent/self", "carol") == OK
    server.policy("read-agent", READ_NODE)
    assert await client.get("/v1/agent/self", "carol") == DENIED


async def test_requests_with_one_token_share_one_question(server: World) -> None:
    client, servers = client_of(server)
    servers.gate = asyncio.Event()
    tasks = [asyncio.create_task(client.get("/v1/agent/self", "alice")) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    servers.gate.set()
    assert await asyncio.gather(*tasks) == [OK] * 5
    assert servers.asked == 1


async def test_the_agents_master_token_needs_no_server(server: World) -> None:
    client, servers = client_of(server)
    servers.lost = True
    assert await client.get("/v1/agent/self", "own") == OK
    assert servers.asked == 0


async def test_extend_cache_goes_on_with_what_is_known_while_no_server_answers(server: World) -> None:
    client, servers = client_of(server, **NO_TTL)
    assert await client.get("/v1/agent/self", "carol") == OK
    servers.lost = True
    assert await client.get("/v1/agent/self", "carol") == OK
    assert await client.get("/v1/agent/self", "alice") == DENIED


async def test_who_is_unknown_while_no_server_answers_does_not_wait_for_them_twice(server: World) -> None:
    client, servers = client_of(server)
    servers.lost = True
    assert await client.get("/v1/agent/self", "alice") == DENIED
    assert await client.get("/v1/agent/self", "alice") == NOT_FOUND
    assert servers.asked == 1


async def test_down_policy_deny_forgets_what_is_known(server: World) -> None:
    client, servers = client_of(server, **NO_TTL, down_policy="deny")
    assert await client.get("/v1/agent/self", "carol") == OK
    servers.lost = True
    assert await client.get("/v1/agent/self", "carol") == DENIED


async def test_down_policy_allow_lets_everybody_in(server: World) -> None:
    client, servers = client_of(server, down_policy="allow")
    servers.lost = True
    for _ in range(3):
        assert await client.get("/v1/agent/self", "anything") == OK
    assert servers.asked == 1


async def test_async_cache_never_waits_for_what_it_knows(server: World) -> None:
    client, servers = client_of(server, **NO_TTL, down_policy="async-cache")
    assert await client.get("/v1/agent/self", "alice") == OK
    server.apply(token_delete("alice"))
    servers.gate = asyncio.Event()
    assert await client.get("/v1/agent/self", "alice") == OK
    servers.gate.set()
    deadline_s = time.monotonic() + DEADLINE_S
    while (answer := await client.get("/v1/agent/self", "alice")) != NOT_FOUND:
        assert time.monotonic() < deadline_s, answer
        await asyncio.sleep(0)


async def test_nothing_is_enforced_for_a_while_after_the_servers_gave_up_access_control(server: World) -> None:
    client, servers = client_of(server, **NO_TTL)
    assert await client.get("/v1/agent/self", "nobody") == NOT_FOUND
    servers.disabled = True
    assert await client.get("/v1/agent/self", "nobody") == (500, "ACL support disabled")
    assert await client.get("/v1/agent/self", "nobody") == OK


async def test_servers_that_never_had_access_control_know_no_token(server: World) -> None:
    client, servers = client_of(server)
    servers.disabled = True
    assert await client.get("/v1/agent/self", "alice") == NOT_FOUND


async def test_without_version_8_an_agents_own_endpoints_are_open(server: World) -> None:
    client, servers = client_of(server, enforce_version_8=False)
    assert await client.get("/v1/agent/self") == OK
    assert servers.asked == 0
    assert await client.get("/v1/agent/self", "deny") == OK


# ------------------------------------------------------------------------------------------- secondary datacenters


def secondary_of(primary: World, **rules: Any) -> tuple[World, OtherServers]:
    servers = OtherServers(primary)
    return World(servers=servers, datacenter="dc2", rules={**TTL, **rules}), servers


async def test_a_secondary_without_token_replication_asks_the_primary(server: World) -> None:
    secondary, servers = secondary_of(server)
    assert await secondary.get("/v1/agent/self", "alice") == OK
    assert await secondary.get("/v1/agent/self", "nobody") == NOT_FOUND
    assert await secondary.get("/v1/agent/self", "alice") == OK
    assert servers.asked == 2


async def test_a_secondary_decides_by_its_own_policies_once_it_has_some(server: World) -> None:
    secondary, _ = secondary_of(server)
    assert await secondary.get("/v1/agent/self", "alice") == OK
    secondary.policy("read-agent", READ_NODE)
    assert await secondary.get("/v1/agent/self", "alice") == DENIED
    secondary.policy("read-agent", READ_AGENT)
    assert await secondary.get("/v1/agent/self", "alice") == OK


async def test_a_secondary_with_tokens_of_its_own_asks_nobody(server: World) -> None:
    secondary, servers = secondary_of(server, enable_token_replication=True)
    assert await secondary.get("/v1/agent/self", "alice") == OK
    secondary.policy("read-agent", READ_AGENT)
    secondary.token("local", "read-agent")
    asked = servers.asked
    assert await secondary.get("/v1/agent/self", "local") == OK
    assert await secondary.get("/v1/agent/self", "alice") == NOT_FOUND
    assert servers.asked == asked


async def test_a_client_agent_of_a_secondary_reaches_the_primary_through_its_servers(server: World) -> None:
    secondary, _ = secondary_of(server)
    servers = OtherServers(secondary)
    client = World(servers=servers, server_mode=False, datacenter="dc2", rules=TTL)
    assert await client.get("/v1/agent/self", "alice") == OK
    assert await client.get("/v1/agent/self", "nobody") == NOT_FOUND


async def test_a_follower_that_is_asked_knows_tokens_that_it_has_not_applied_yet(server: World) -> None:
    client, _ = client_of(server)
    server.state.leads = False
    server.consensus.arriving = [token_set("new", "read-agent")]
    assert await client.get("/v1/agent/self", "new") == OK


async def test_clients_cannot_ask_what_agents_may(server: World) -> None:
    node: Any = server
    dispatcher = Dispatcher(AclResolveEndpoints(node).routes())
    answer = await dispatcher.dispatch(Request("GET", "/v1/internal/acl/resolve", b"", []))  # type: ignore[misc]
    assert answer.status == 404


# ------------------------------------------------------------------------------------------------ what is remembered


def known_tokens() -> RememberedTokens:
    known = RememberedTokens("dc1", token_ttl_s=30, policy_ttl_s=20, role_ttl_s=10)
    token = ACLToken("a", "secret", policies=[Link("p1", "p1")], roles=[Link("r", "r")])
    role = ACLRole("r", "r", policies=[Link("p2", "p2"), Link("gone", "gone")])
    known.learn(Resolved(token, [role], [ACLPolicy("p1", "p1"), ACLPolicy("p2", "p2")]), 100.0)
    return known


@pytest.mark.parametrize(("now_s", "age"), [(100.0, Age.FRESH), (109.9, Age.FRESH), (110.0, Age.STALE)])
def test_the_shortest_time_decides(now_s: float, age: Age) -> None:
    look = known_tokens().look("secret", now_s)
    assert look.age is age
    assert sorted(policy.id for policy in look.policies) == ["p1", "p2"]


def test_what_is_extended_is_as_good_as_new() -> None:
    known = known_tokens()
    known.extend("secret", 200.0)
    assert known.look("secret", 209.0).age is Age.FRESH
    assert known.look("secret", 210.0).age is Age.STALE


def test_a_policy_that_is_linked_but_was_never_told_is_missing() -> None:
    known = known_tokens()
    known.learn(Resolved(ACLToken("b", "other", policies=[Link("p1", "p1")])), 101.0)
    known.learn(Resolved(ACLToken("a", "secret", policies=[Link("p3", "p3")]), [], [ACLPolicy("p3", "p3")]), 101.0)
    assert known.look("nobody", 101.0).age is Age.MISSING
    assert known.look("other", 101.0).policies == ()


def test_a_token_known_not_to_exist_is_no_missing_one() -> None:
    known = known_tokens()
    known.learn_none("nobody", 100.0)
    look = known.look("nobody", 101.0)
    assert look.age is Age.FRESH
    assert look.token is None
