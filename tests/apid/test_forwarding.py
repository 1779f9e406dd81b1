"""Requests to other apids over real gRPC: one stream for many, loss of a server, what the forward port refuses."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest

from apid.core.dispatcher import Dispatcher
from apid.core.errors import HttpError
from apid.core.message import Request, Response
from apid.core.routes import Operation, Route
from apid.node.batching import StreamDown
from apid.node.forwarding import MAX_HOPS, Forwarder
from apid.node.gossip import Gossip
from apid.node.server_link import ServerLink
from apid.rpc import ForwardServicer, add_forward
from apid.web.limits import MAX_HEAD_BYTES
from lictor.config.runtime import RuntimeConfig
from lictor.pb.lictor.v1 import forward_pb2, gossip_pb2
from lictor.rpc import SERVER_OPTIONS

DEADLINE_S = 10.0


class World:
    """A dispatcher with one quick, one waiting and one endless path; `release` lets the waiting ones go."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.release = asyncio.Event()
        self.waiting = 0
        self.arrived = asyncio.Event()
        self.asked: list[Request] = []
        self.dispatcher = Dispatcher(
            [
                Route("/v1/kv/", {method: Operation(self.quick, "q") for method in ("GET", "PUT")}),
                Route("/v1/wait/", {method: Operation(self.wait, "w") for method in ("GET", "PUT")}),
                Route("/v1/agent/self", {"GET": Operation(self.quick, "a")}),
                Route("/v1/watch", {"GET": Operation(self.endless, "e")}),
                Route("/debug", {"GET": Operation(self.quick, "d")}),
            ]
        )

    def quick(self, request: Request) -> Response:
        self.asked.append(request)
        return Response(200, f"{self.name}:{request.tail}".encode())

    async def wait(self, request: Request) -> Response:
        self.waiting += 1
        self.arrived.set()
        await self.release.wait()
        return Response(200, f"{self.name}:{request.tail}".encode())

    def endless(self, request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                yield b"data\n\n"

        return Response(200, content_type=b"text/event-stream", stream=pieces())


@asynccontextmanager
async def served(name: str, for_peers: bool = True) -> AsyncIterator[tuple[World, str, Callable[[], Awaitable[None]]]]:
    """A listening Forward service: its world, address, and what ends it at once."""
    world = World(name)
    server = grpc.aio.server(options=SERVER_OPTIONS)
    add_forward(ForwardServicer(world.dispatcher, for_peers), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async def stop() -> None:
        await server.stop(0)

    try:
        yield world, f"127.0.0.1:{port}", stop
    finally:
        await stop()


def get(path: str, number: int = 0) -> forward_pb2.HttpRequest:
    return forward_pb2.HttpRequest(id=number, method="GET", path=path)


async def test_many_requests_share_a_stream_and_slow_ones_delay_nobody() -> None:
    async with served("a") as (world, address, _):
        link = ServerLink(address)
        await link.ready()
        slow = asyncio.create_task(link.ask(get("/v1/wait/slow"), DEADLINE_S))
        answers = await asyncio.gather(*(link.ask(get(f"/v1/kv/{n}"), DEADLINE_S) for n in range(300)))
        assert [answer.body for answer in answers] == [f"a:{n}".encode() for n in range(300)]
        assert not slow.done()
        world.release.set()
        assert (await slow).body == b"a:slow"
        await link.close()


async def test_a_request_of_its_own_is_cancelled_at_the_server_too() -> None:
    async with served("a") as (world, address, _):
        link = ServerLink(address)
        await link.ready()
        call = asyncio.create_task(link.ask_alone(get("/v1/wait/x"), DEADLINE_S))
        await asyncio.wait_for(world.arrived.wait(), DEADLINE_S)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await link.close()


async def test_what_was_sent_to_a_lost_server_may_have_arrived() -> None:
    async with served("a") as (world, address, stop):
        link = ServerLink(address)
        await link.ready()
        shared = asyncio.create_task(link.ask(get("/v1/wait/x"), DEADLINE_S))
        alone = asyncio.create_task(link.ask_alone(get("/v1/wait/y"), DEADLINE_S))
        async with asyncio.timeout(DEADLINE_S):
            while world.waiting < 2:
                world.arrived.clear()
                await world.arrived.wait()
        await stop()
        for task in (shared, alone):
            with pytest.raises(StreamDown) as failure:
                await task
            assert failure.value.sent
        with pytest.raises(StreamDown) as failure:
            await link.ready()
        assert not failure.value.sent
        await link.close()


async def test_closing_a_link_fails_what_waits_on_it_at_once() -> None:
    async with served("a") as (world, address, _):
        link = ServerLink(address)
        await link.ready()
        tasks = [
            asyncio.create_task(link.ask(get("/v1/wait/x"), DEADLINE_S)),
            asyncio.create_task(link.ask_alone(get("/v1/wait/y"), DEADLINE_S)),
        ]
        async with asyncio.timeout(DEADLINE_S):
            while world.waiting < 2:
                world.arrived.clear()
                await world.arrived.wait()
        await link.close()
        for task in tasks:
            with pytest.raises(StreamDown):
                await asyncio.wait_for(task, DEADLINE_S)
        with pytest.raises(StreamDown):
            await link.ask(get("/v1/kv/z"), DEADLINE_S)


def client_forwarder(tmp_path: object, *addresses: str) -> Forwarder:
    """A client agent's forwarder that knows these servers, asked in this order."""
    gossip = Gossip(str(tmp_path), with_wan=False)
    config = RuntimeConfig(datacenter="bj", node_name="client", data_dir=str(tmp_path), server_mode=False)
    forwarder = Forwarder(config, gossip)
    members = [
        gossip_pb2.Member(
            name=f"s{number}",
            address="127.0.0.1",
            status=gossip_pb2.MEMBER_STATUS_ALIVE,
            tags={"role": "consul", "dc": "bj", "lictor_api": address.rpartition(":")[2]},
        )
        for number, address in enumerate(addresses)
    ]
    forwarder._rebalance_at_s = float("inf")
    gossip.lan.take(gossip_pb2.MemberEvent(kind=gossip_pb2.MemberEvent.KIND_SNAPSHOT, members=members))
    while forwarder._local_servers.in_order() != addresses:
        forwarder._local_servers.shuffle()
    return forwarder


def request(method: str, path: str, hops: int = 0) -> Request:
    return Request(method, path, b"", [(b"x-consul-token", b"t")], target=path.encode(), hops=hops)


async def test_a_read_moves_to_another_server_when_its_own_is_lost(tmp_path: object) -> None:
    async with served("a") as (first, first_address, stop), served("b") as (second, second_address, _):
        forwarder = client_forwarder(tmp_path, first_address, second_address)
        second.release.set()
        read = asyncio.create_task(forwarder.send(request("GET", "/v1/wait/x")))
        await asyncio.wait_for(first.arrived.wait(), DEADLINE_S)
        await stop()
        assert (await asyncio.wait_for(read, DEADLINE_S)).body == b"b:x"
        await forwarder.close()


async def test_a_write_that_may_have_been_carried_out_is_not_repeated(tmp_path: object) -> None:
    async with served("a") as (first, first_address, stop), served("b") as (second, second_address, _):
        forwarder = client_forwarder(tmp_path, first_address, second_address)
        write = asyncio.create_task(forwarder.send(request("PUT", "/v1/wait/x")))
        await asyncio.wait_for(first.arrived.wait(), DEADLINE_S)
        await stop()
        with pytest.raises(HttpError, match="rpc error making call"):
            await asyncio.wait_for(write, DEADLINE_S)
        assert second.waiting == 0
        # One that was never sent goes to the server that is left.
        assert (await forwarder.send(request("PUT", "/v1/kv/y"))).body == b"b:y"
        await forwarder.close()


async def test_the_asking_agent_and_the_token_travel_and_hops_are_counted(tmp_path: object) -> None:
    async with served("a") as (world, address, _):
        forwarder = client_forwarder(tmp_path, address)
        await forwarder.send(request("GET", "/v1/kv/x"))
        seen = world.asked[0]
        assert (seen.asking_agent(), seen.token(), seen.hops) == ("client", "t", 1)
        seen.target = b"/v1/kv/again"
        await forwarder.send(seen)
        assert (world.asked[1].asking_agent(), world.asked[1].hops) == ("client", 2)
        with pytest.raises(HttpError, match="passed on too often"):
            await forwarder.send(request("GET", "/v1/kv/x", hops=MAX_HOPS))
        await forwarder.close()


def test_a_client_cannot_pretend_to_be_another_agent() -> None:
    asked = Request("GET", "/v1/kv/x", b"", [(b"x-lictor-agent", b"other")])
    assert asked.asking_agent() == ""


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/agent/self", 403),
        ("/v1/kv/../agent/self", 403),
        ("/v1/%61gent/self", 403),
        ("/debug", 404),
        ("/", 404),
        ("no-path", 404),
        ("/v1/kv/%zz", 404),
        ("/v1/kv/" + "x" * MAX_HEAD_BYTES, 431),
        ("/v1/kv/\u4e16", 400),
        ("/v1/watch", 400),
        ("/v1/kv/fine", 200),
    ],
)
async def test_the_forward_port_serves_the_api_and_nothing_of_the_agent_itself(path: str, status: int) -> None:
    async with served("a") as (_, address, _stop):
        link = ServerLink(address)
        await link.ready()
        assert (await link.ask_alone(get(path), DEADLINE_S)).status == status
        assert (await link.ask(get(path), DEADLINE_S)).status == status
        await link.close()


async def test_garbage_on_the_stream_harms_no_other_request() -> None:
    seed = 20_200_401
    source = random.Random(seed)
    async with served("a") as (_, address, _stop):
        link = ServerLink(address)
        await link.ready()
        for _round in range(50):
            text = "".join(chr(source.randrange(1, 0x2FF)) for _ in range(source.randrange(30)))
            message = forward_pb2.HttpRequest(method=text, path=f"/v1/kv/{text}", query=text, hops=7)
            message.headers.add(name=text, value=text)
            garbage, good = await asyncio.gather(
                link.ask(message, DEADLINE_S), link.ask(get("/v1/kv/good"), DEADLINE_S)
            )
            assert garbage.status >= 400 or garbage.body, f"seed {seed}: {text!r}"
            assert good.body == b"a:good", f"seed {seed}: {text!r}"
        await link.close()
