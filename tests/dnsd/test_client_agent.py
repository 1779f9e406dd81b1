"""On a client agent: pushed copies, their age, prepared queries, and the stream to apid."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import dns.message
import grpc
import pytest

from dnsd.core.message import Transport
from dnsd.core.needs import AddressOwner, NodeNamed, ServiceInstances, Unavailable
from dnsd.core.settings import Settings
from dnsd.engine import Engine, Waiting
from dnsd.recursors import Recursors
from dnsd.sources import subscriptions
from dnsd.sources.forwarder import Forwarder, Reply
from dnsd.sources.remote import RemoteSource
from dnsd.sources.staleness import Staleness
from lictor.pb.lictor.v1 import forward_pb2, forward_pb2_grpc
from lictor.rpc import DaemonServer
from tests.dnsd.world import CLIENT, text

DEADLINE_S = 5.0


def entry(node: str, address: str, service: str = "web", **fields: Any) -> dict[str, Any]:
    """One instance as the health endpoint gives it."""
    return {
        "Node": {"Node": node, "Address": address, "Datacenter": "bj", "Meta": None, "TaggedAddresses": None},
        "Service": {"ID": service, "Service": service, "Tags": ["Red"], "Port": 80, "Weights": {"Passing": 3}} | fields,
        "Checks": [{"Status": "passing", "ServiceID": service}],
    }


class Servers:
    """Answers reads as a server's apid does, blocking queries included."""

    def __init__(self) -> None:
        self.index = 10
        self.bodies: dict[str, Any] = {"/v1/health/service/web": [entry("w1", "10.1.1.1")]}
        self.statuses: dict[str, int] = {}
        self.has_leader = True
        self.last_contact_ms = 0
        self.fails = False
        self.asked: list[tuple[str, dict[str, str], str]] = []
        self._changed = asyncio.Event()

    def set(self, path: str, body: Any) -> None:
        """A change, which wakes who waits."""
        self.bodies[path] = body
        self.index += 1
        self.wake()

    def wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def get(self, path: str, parameters: Mapping[str, str], timeout_s: float, client_address: str = "") -> Reply:
        self.asked.append((path, dict(parameters), client_address))
        if self.fails:
            raise Unavailable("No known Consul servers")
        if int(parameters.get("index", "0")) >= self.index:
            wait_s = float(parameters["wait"].removesuffix("ms")) / 1000
            try:
                await asyncio.wait_for(self._changed.wait(), wait_s)
            except TimeoutError:
                pass
            if self.fails:
                raise Unavailable("No known Consul servers")
        headers = {
            "x-consul-index": str(self.index),
            "x-consul-knownleader": str(self.has_leader).lower(),
            "x-consul-lastcontact": str(self.last_contact_ms),
        }
        body = self.bodies.get(path, [] if "health" in path else None)
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return Reply(self.statuses.get(path, 200), headers, data)


class Client:
    """An engine of a client agent."""

    def __init__(self, servers: Servers, **staleness: Any) -> None:
        self.now_s = 1000.0
        self.servers = servers
        self.source = RemoteSource(servers, servers, Staleness(**staleness), "bj", lambda: self.now_s)
        self.engine = Engine(Settings(datacenter="bj"), self.source, Recursors(()), lambda: 1_600_000_000)
        self.waited = 0

    async def ask(self, question: str) -> str:
        name, kind = question.split(" ")
        query = dns.message.make_query(name, kind, use_edns=-1)
        with self.source.view() as view:
            response = self.engine.answer(query.to_wire(), Transport.UDP, CLIENT, view)
        if isinstance(response, Waiting):
            self.waited += 1
            response = await self.engine.resolve(response)
        assert response is not None
        return text(dns.message.from_wire(response))

    async def until(self, question: str, wanted: str) -> None:
        """Ask until the answer holds the text."""
        deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
        while wanted not in await self.ask(question):
            assert asyncio.get_running_loop().time() < deadline_s, f"{question} never gave {wanted}"
            await asyncio.sleep(0.01)


@asynccontextmanager
async def client(servers: Servers, **staleness: Any) -> AsyncIterator[Client]:
    made = Client(servers, **staleness)
    try:
        yield made
    finally:
        await made.source.close()


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline_s
        await asyncio.sleep(0.01)


async def test_the_first_question_subscribes_and_later_ones_are_answered_from_the_copy() -> None:
    servers = Servers()
    async with client(servers) as asker:
        for _ in range(20):
            assert "10.1.1.1" in await asker.ask("web.service.consul A")
            assert " SRV 1 3 80 w1.node.bj.consul." in await asker.ask("red.web.service.consul SRV")
            assert "NXDOMAIN" in await asker.ask("blue.web.service.consul A")
        assert asker.waited == 1
        await until(lambda: len(servers.asked) == 2)
        assert {path for path, _, _ in servers.asked} == {"/v1/health/service/web"}
        assert servers.asked[1][1]["index"] == "10"
        assert "stale" in servers.asked[1][1]


async def test_changes_are_pushed() -> None:
    servers = Servers()
    async with client(servers) as asker:
        await asker.ask("web.service.consul A")
        for number in range(2, 6):
            servers.set("/v1/health/service/web", [entry("w1", f"10.1.1.{number}")])
            await asker.until("web.service.consul A", f"10.1.1.{number}")
        servers.set("/v1/health/service/web", [])
        await asker.until("web.service.consul A", "NXDOMAIN")
        assert asker.waited == 1


async def test_nodes_and_their_absence_are_copied_too() -> None:
    servers = Servers()
    async with client(servers) as asker:
        assert "NXDOMAIN" in await asker.ask("n9.node.consul A")
        servers.set("/v1/catalog/node/n9", {"Node": {"Node": "n9", "Address": "10.9.9.9", "Meta": {"k": "v"}}})
        await asker.until("n9.node.consul A", "10.9.9.9")
        assert 'TXT "k=v"' in await asker.ask("n9.node.consul TXT")
        assert asker.waited == 1


async def test_the_last_known_answer_is_served_while_nobody_can_be_asked(caplog: pytest.LogCaptureFixture) -> None:
    servers = Servers()
    async with client(servers) as asker:
        await asker.ask("web.service.consul A")
        servers.fails = True
        servers.wake()
        await until(lambda: "serving last known answers" in caplog.text)
        asker.now_s += 3600
        assert "10.1.1.1" in await asker.ask("web.service.consul A")
        assert asker.source.subscriptions.last_known_answers > 0
        assert "SERVFAIL" in await asker.ask("unknown.service.consul A")
        servers.fails = False
        servers.set("/v1/health/service/web", [entry("w1", "10.1.1.8")])
        await asker.until("web.service.consul A", "10.1.1.8")


async def test_what_may_not_be_seen_any_more_is_not_served_from_the_copy() -> None:
    servers = Servers()
    query = "/v1/query/mine/execute"
    servers.bodies[query] = {"Service": "web", "Nodes": [entry("q1", "10.8.0.1")], "DNS": {}, "Datacenter": "bj"}
    async with client(servers) as asker:
        assert "10.1.1.1" in await asker.ask("web.service.consul A")
        assert "10.8.0.1" in await asker.ask("mine.query.consul A")
        for path in ("/v1/health/service/web", query):
            servers.statuses[path] = 403
        servers.set("/v1/health/service/web", "ACL not found")
        servers.bodies[query] = "ACL not found"
        await asker.until("web.service.consul A", "SERVFAIL")
        assert "SERVFAIL" in await asker.ask("mine.query.consul A")


async def test_copies_older_than_allowed_are_not_served() -> None:
    servers = Servers()
    async with client(servers, max_stale_s=10.0) as asker:
        await asker.ask("web.service.consul A")
        servers.fails = True
        servers.wake()
        asker.now_s += 9
        assert "10.1.1.1" in await asker.ask("web.service.consul A")
        asker.now_s += 2
        assert "SERVFAIL" in await asker.ask("web.service.consul A")


async def test_a_server_that_is_too_far_behind_is_asked_for_the_leaders_answer() -> None:
    servers = Servers()
    servers.last_contact_ms = 60_000
    async with client(servers, max_stale_s=10.0) as asker:
        assert "10.1.1.1" in await asker.ask("web.service.consul A")
        assert "stale" not in servers.asked[-1][1]


async def test_with_use_cache_the_copys_age_is_bounded_by_cache_max_age() -> None:
    servers = Servers()
    async with client(servers, use_cache=True, cache_max_age_s=5.0) as asker:
        await asker.ask("web.service.consul A")
        servers.fails = True
        servers.wake()
        asker.now_s += 6
        assert "SERVFAIL" in await asker.ask("web.service.consul A")


async def test_without_allow_stale_every_question_goes_to_the_leader() -> None:
    servers = Servers()
    async with client(servers, allow_stale=False) as asker:
        for _ in range(3):
            assert "10.1.1.1" in await asker.ask("web.service.consul A")
        assert asker.waited == 3
        assert len(servers.asked) == 3
        assert all("stale" not in parameters for _, parameters, _ in servers.asked)
        servers.fails = True
        assert "SERVFAIL" in await asker.ask("web.service.consul A")


async def test_a_leaderless_server_is_asked_again_soon(caplog: pytest.LogCaptureFixture) -> None:
    servers = Servers()
    servers.has_leader = False
    async with client(servers) as asker:
        assert "10.1.1.1" in await asker.ask("web.service.consul A")
        await until(lambda: len(servers.asked) == 2)
        assert servers.asked[1][1]["wait"] == f"{subscriptions.LEADERLESS_WAIT_S * 1000:.0f}ms"
        assert "no cluster leader" in caplog.text


async def test_subscriptions_are_bounded_and_end_when_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MAX_SUBSCRIPTIONS", 10)
    monkeypatch.setattr(subscriptions, "SWEEP_INTERVAL_S", 0.02)
    servers = Servers()
    async with client(servers) as asker:
        for number in range(30):
            await asker.ask(f"s{number}.service.consul A")
        kept = asker.source.subscriptions
        assert len(kept) == 10
        await asker.ask("web.service.consul A")

        async def swept() -> None:
            await until(lambda: not any(each.is_touched for each in kept._by_key.values()))

        await swept()
        asker.now_s += subscriptions.EMPTY_IDLE_S + 1
        await until(lambda: len(kept) == 1)
        assert "10.1.1.1" in await asker.ask("web.service.consul A")
        await swept()
        asker.now_s += subscriptions.IDLE_S + 1
        await until(lambda: len(kept) == 0)


async def test_reverse_lookups_search_nodes_then_services() -> None:
    servers = Servers()
    servers.bodies["/v1/internal/ui/nodes"] = [
        {"Node": "a", "Address": "10.1.1.1", "Services": [{"Service": "web", "Address": "10.1.1.2"}]},
        {"Node": "b", "Address": "10.1.1.2", "Services": None},
    ]
    async with client(servers) as asker:
        assert "PTR a.node.bj.consul." in await asker.ask("1.1.1.10.in-addr.arpa PTR")
        assert "PTR b.node.bj.consul." in await asker.ask("2.1.1.10.in-addr.arpa PTR")
        assert "SERVFAIL" in await asker.ask("3.1.1.10.in-addr.arpa PTR")
        with pytest.raises(Unavailable):
            servers.fails = True
            await asker.source.fetch(AddressOwner("10.1.1.1"))


async def test_prepared_queries_are_executed_and_remembered_for_bad_times() -> None:
    servers = Servers()
    path = "/v1/query/mine/execute"
    servers.bodies[path] = {
        "Service": "web",
        "Nodes": [entry("q1", "10.8.0.1"), entry("q2", "10.8.0.2")],
        "DNS": {"TTL": "9s"},
        "Datacenter": "sh",
    }
    servers.bodies["/v1/query/none/execute"] = "Query not found"
    servers.statuses["/v1/query/none/execute"] = 404
    async with client(servers, max_stale_s=100.0) as asker:
        assert "9 SRV 1 3 80 q1.node.sh.consul." in await asker.ask("mine.query.consul SRV")
        assert servers.asked[-1] == (path, {"dc": "bj", "stale": ""}, CLIENT)
        assert "NXDOMAIN" in await asker.ask("none.query.consul A")
        servers.fails = True
        assert "10.8.0.2" in await asker.ask("mine.query.consul A")
        assert asker.source.last_known_answers == 1
        asker.now_s += 101
        assert "SERVFAIL" in await asker.ask("mine.query.consul A")


async def test_errors_and_bodies_that_are_none_are_failures_not_answers() -> None:
    servers = Servers()
    servers.statuses["/v1/health/service/web"] = 500
    servers.bodies["/v1/catalog/node/n1"] = "{"
    servers.statuses["/v1/query/q/execute"] = 404
    servers.bodies["/v1/query/q/execute"] = "404 page not found"
    async with client(servers) as asker:
        assert "SERVFAIL" in await asker.ask("web.service.consul A")
        assert "SERVFAIL" in await asker.ask("n1.node.consul A")
        assert "SERVFAIL" in await asker.ask("q.query.consul A")
        servers.statuses.clear()
        assert "10.1.1.1" in await asker.ask("web.service.consul A")


async def test_many_first_questions_share_one_subscription() -> None:
    servers = Servers()
    async with client(servers) as asker:
        answers = await asyncio.gather(*[asker.ask("web.service.consul A") for _ in range(50)])
        assert all("10.1.1.1" in answer for answer in answers)
        assert sum(1 for _, parameters, _ in servers.asked if "index" not in parameters) == 1


async def test_names_are_escaped_in_paths() -> None:
    servers = Servers()
    async with client(servers) as asker:
        await asker.source.fetch(ServiceInstances("a/b?c", "", "bj"))
        await asker.source.fetch(NodeNamed("x y", "sh"))
        assert {path for path, _, _ in servers.asked} == {"/v1/health/service/a%2Fb%3Fc", "/v1/catalog/node/x%20y"}
        assert any(parameters["dc"] == "sh" for _, parameters, _ in servers.asked)


class ForwardService(forward_pb2_grpc.ForwardServicer):
    """A stand-in for apid: answers every request with its own path and headers, the slow ones last."""

    async def HandleStream(self, request_iterator: Any, context: Any) -> AsyncIterator[forward_pb2.HttpResponse]:
        slow = []
        async for request in request_iterator:
            if "hang" in request.path:
                slow.append(request)
                continue
            if "die" in request.path:
                await context.abort(grpc.StatusCode.INTERNAL, "told to")
            found = {
                "path": request.path,
                "query": parse_qs(request.query, keep_blank_values=True),
                "headers": {header.name: header.value for header in request.headers},
                "client": request.remote_address,
            }
            yield forward_pb2.HttpResponse(
                id=request.id,
                status=200,
                headers=[forward_pb2.Header(name="X-Consul-Index", value="7")],
                body=json.dumps(found).encode(),
            )


@asynccontextmanager
async def apid(data_dir: Path) -> AsyncIterator[None]:
    server = DaemonServer(data_dir, "apid", ("lictor.v1.Forward",))
    forward_pb2_grpc.add_ForwardServicer_to_server(ForwardService(), server.server)  # type: ignore[no-untyped-call]
    await server.start()
    try:
        yield
    finally:
        await server.stop()


async def test_requests_share_a_stream_and_find_their_answers(tmp_path: Path) -> None:
    forwarder = Forwarder(str(tmp_path), "secret-token")
    async with apid(tmp_path):
        hanging = asyncio.create_task(forwarder.get("/v1/hang", {}, 0.3))
        replies = await asyncio.gather(
            *[forwarder.get(f"/v1/x/{number}", {"dc": "bj", "stale": ""}, DEADLINE_S, CLIENT) for number in range(50)]
        )
        for number, reply in enumerate(replies):
            found = json.loads(reply.body)
            assert found["path"] == f"/v1/x/{number}"
            assert found["query"] == {"dc": ["bj"], "stale": [""]}
            assert found["headers"] == {"x-consul-token": "secret-token"}
            assert found["client"] == CLIENT
            assert reply.index == 7
        with pytest.raises(Unavailable, match="no answer"):
            await hanging
        with pytest.raises(Unavailable, match="told to"):
            await forwarder.get("/v1/die", {}, DEADLINE_S)
        assert (await forwarder.get("/v1/again", {}, DEADLINE_S)).status == 200
    await forwarder.close()


async def test_apid_may_be_away_and_come_back(tmp_path: Path) -> None:
    forwarder = Forwarder(str(tmp_path), "")
    with pytest.raises(Unavailable, match="not running"):
        await forwarder.get("/v1/x", {}, DEADLINE_S)
    for _ in range(2):
        async with apid(tmp_path):
            assert (await forwarder.get("/v1/x", {}, DEADLINE_S)).status == 200
        with pytest.raises(Unavailable):
            await forwarder.get("/v1/x", {}, 1.0)
    await forwarder.close()
