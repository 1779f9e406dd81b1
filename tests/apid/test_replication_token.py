"""What this node's raftd asks the primary datacenter: with the replication token of now, whatever it waits for."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from apid.core.errors import AnyServerError, NoPathToDatacenter
from apid.core.message import Request, Response
from apid.endpoints.replication import OWN_PATH, ReplicationEndpoints
from apid.node.agent_tokens import AgentTokens
from apid.node.forwarding import REMOTE_UNREACHABLE
from lictor.config.runtime import AclTokens, RuntimeConfig

CONFIG = RuntimeConfig(server_mode=True, datacenter="sh", primary_datacenter="bj")
DEADLINE_S = 10.0


class Forwarder:
    """The primary datacenter: what asks for a change gets no answer until `release` is set."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.waiting = asyncio.Event()
        self.release = asyncio.Event()
        self.refusal: Exception | None = None

    async def send(self, request: Request, datacenter: str, own: bool) -> Response:
        assert (datacenter, own) == ("bj", True)
        self.asked.append((request.target.decode(), request.token()))
        if self.refusal is not None:
            raise self.refusal
        if request.has("index"):
            self.waiting.set()
            await self.release.wait()
        return Response(200, request.token().encode())


class World:
    def __init__(self, token: str = "old") -> None:
        self.forwarder = Forwarder()
        self.tokens = AgentTokens(AclTokens(replication=token))
        node = SimpleNamespace(config=CONFIG, tokens=self.tokens, forwarder=self.forwarder)
        self.endpoints = ReplicationEndpoints(cast(Any, node))

    async def ask(self, kind: str, query: bytes = b"", method: str = "GET") -> Response:
        request = Request(method, OWN_PATH + kind, query, [])
        request.internal, request.tail = True, kind
        async with asyncio.timeout(DEADLINE_S):
            return await self.endpoints.ask_primary(request)


async def test_a_list_that_waits_is_asked_for_anew_when_there_is_another_token() -> None:
    world = World()
    await world.ask("config-entries")
    waiting = asyncio.ensure_future(world.ask("config-entries", b"index=5"))
    await world.forwarder.waiting.wait()
    world.tokens.set(AclTokens(replication="new"))
    assert (await waiting).body == b"new"
    path = "/v1/internal/replication/config-entries"
    assert world.forwarder.asked == [(path, "old"), (f"{path}?index=5&stale", "old"), (path, "new")]


async def test_what_another_token_has_seen_is_no_reason_to_wait() -> None:
    world = World()
    await world.ask("intentions")
    world.tokens.set(AclTokens(replication="new"))
    assert (await world.ask("intentions", b"index=5")).body == b"new"
    world.forwarder.release.set()
    await world.ask("intentions", b"index=5")
    assert [target.partition("?")[2] for target, _ in world.forwarder.asked] == ["", "", "index=5&stale"]


async def test_other_tokens_of_the_agent_change_nothing() -> None:
    world = World()
    await world.ask("intentions")
    waiting = asyncio.ensure_future(world.ask("intentions", b"index=5"))
    await world.forwarder.waiting.wait()
    world.tokens.set(AclTokens(replication="old", default="x"))
    world.forwarder.release.set()
    assert (await waiting).body == b"old"
    assert len(world.forwarder.asked) == 2
    assert world.tokens.on_replication_changed == set()


async def test_access_control_is_not_asked_about_without_a_token_other_things_are() -> None:
    world = World(token="")
    assert (await world.ask("acl-policies")).status == 409
    assert (await world.ask("config-entries")).status == 200
    assert world.forwarder.asked == [("/v1/internal/replication/config-entries", "")]


REFUSALS = [
    (NoPathToDatacenter(), 503),
    (AnyServerError(REMOTE_UNREACHABLE), 503),
    (AnyServerError("No cluster leader"), 500),
]


@pytest.mark.parametrize(("refusal", "status"), REFUSALS)
async def test_a_datacenter_that_is_away_is_told_from_one_that_refuses(refusal: Exception, status: int) -> None:
    world = World()
    world.forwarder.refusal = refusal
    assert (await world.ask("intentions")).status == status


async def test_clients_are_answered_as_for_any_unknown_path() -> None:
    request = Request("GET", OWN_PATH + "acl-tokens", b"", [])
    answer = await World().endpoints.ask_primary(request)
    assert (answer.status, answer.body, answer.plain) == (404, b"", True)
