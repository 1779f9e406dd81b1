"""The listeners: real sockets on loopback, a real state file."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rcode
import pytest
from msgspec.structs import replace

from dnsd import tcp, udp
from lictor.config.runtime import Addresses, DnsConfig, Ports
from lictor.page import RaftState
from tests.dnsd.running import RunningState, WriterProcess, configuration, running, writing
from tests.dnsd.world import text

TIMEOUT_S = 5.0
WAIT_STEP_S = 0.01


@pytest.fixture(scope="module")
def writer() -> Iterator[WriterProcess]:
    with writing() as process:
        yield process


@pytest.fixture
def state(tmp_path: Path, writer: WriterProcess) -> Iterator[RunningState]:
    kept = RunningState(tmp_path, writer)
    kept.node("n1", "127.0.0.1", "consul", port=8300)
    kept.nodes([(f"w{number}", f"10.1.1.{number}", "web", {"port": 80}) for number in range(10)])
    yield kept
    kept.close()


async def ask(port: int, question: str, over_tcp: bool = False) -> dns.message.Message:
    name, kind = question.split(" ")
    query = dns.message.make_query(name, kind, use_edns=-1)
    send = dns.asyncquery.tcp if over_tcp else dns.asyncquery.udp
    return await send(query, "127.0.0.1", TIMEOUT_S, port)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection until the end of the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until it is true."""
    deadline_s = asyncio.get_running_loop().time() + TIMEOUT_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline_s, what
        await asyncio.sleep(WAIT_STEP_S)


async def test_udp_and_tcp_answer_from_the_state_file(state: RunningState) -> None:
    async with running(configuration(state.data_dir)) as driver:
        (port,) = driver.ports
        assert text(await ask(port, "n1.node.consul A")) == "NOERROR QR AA RD\nn1.node.consul. 0 A 127.0.0.1"
        assert len((await ask(port, "web.service.consul A")).answer[0]) == 3
        assert len((await ask(port, "web.service.consul SRV", over_tcp=True)).answer[0]) == 10


async def test_a_change_is_seen_by_the_very_next_question(state: RunningState) -> None:
    async with running(configuration(state.data_dir)) as driver:
        (port,) = driver.ports
        for number in range(50):
            state.node("mover", f"10.9.9.{number}", "moving", port=number)
            assert f"10.9.9.{number}" in text(await ask(port, "moving.service.consul A"))
            assert f" {number} mover.node" in text(await ask(port, "moving.service.consul SRV"))


async def test_a_replaced_state_is_opened_and_nothing_kept_survives(state: RunningState) -> None:
    async with running(configuration(state.data_dir)) as driver:
        (port,) = driver.ports
        assert (await ask(port, "web.service.consul A")).rcode() == dns.rcode.NOERROR
        state.replace()
        # The same index as before, another content.
        state.nodes([(f"v{number}", f"10.7.7.{number}", "web", {"port": 80}) for number in range(11)])
        assert "10.7.7." in text(await ask(port, "web.service.consul A"))
        assert (await ask(port, "n1.node.consul A")).rcode() == dns.rcode.NXDOMAIN


async def test_without_a_state_questions_fail_until_there_is_one(tmp_path: Path, writer: WriterProcess) -> None:
    async with running(configuration(tmp_path)) as driver:
        (port,) = driver.ports
        assert (await ask(port, "n1.node.consul A")).rcode() == dns.rcode.SERVFAIL
        state = RunningState(tmp_path, writer)
        state.node("n1", "127.0.0.1")
        assert (await ask(port, "n1.node.consul A")).rcode() == dns.rcode.NOERROR
        state.close()


async def test_answers_go_on_while_raftd_restarts(state: RunningState) -> None:
    async with running(configuration(state.data_dir)) as driver:
        (port,) = driver.ports
        assert (await ask(port, "n1.node.consul A")).rcode() == dns.rcode.NOERROR
        state.page.write(RaftState())
        assert (await ask(port, "n1.node.consul A")).rcode() == dns.rcode.NOERROR
        assert (await ask(port, "web.service.consul A")).rcode() == dns.rcode.NOERROR


async def test_pipelined_questions_on_one_connection_are_all_answered(state: RunningState) -> None:
    async with running(configuration(state.data_dir)) as driver, connected(driver.ports[0]) as (reader, writer):
        queries = {}
        for number in range(200):
            name = ("web.service.consul", "n1.node.consul", "web.service.sh.consul")[number % 3]
            query = dns.message.make_query(name, "A", use_edns=-1, id=number)
            queries[number] = query
            wire = query.to_wire()
            writer.write(struct.pack("!H", len(wire)) + wire)
        for _ in range(200):
            length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), TIMEOUT_S), "big")
            reply = dns.message.from_wire(await asyncio.wait_for(reader.readexactly(length), TIMEOUT_S))
            query = queries.pop(reply.id)
            failed = "sh" in str(query.question[0].name)
            assert reply.rcode() == (dns.rcode.SERVFAIL if failed else dns.rcode.NOERROR)
        assert not queries


async def test_a_question_in_single_bytes_is_answered(state: RunningState) -> None:
    async with running(configuration(state.data_dir)) as driver, connected(driver.ports[0]) as (reader, writer):
        wire = dns.message.make_query("n1.node.consul", "A").to_wire()
        for byte in struct.pack("!H", len(wire)) + wire:
            writer.write(bytes((byte,)))
            await writer.drain()
        length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), TIMEOUT_S), "big")
        assert dns.message.from_wire(await reader.readexactly(length)).answer


async def test_idle_and_half_finished_connections_are_closed(
    state: RunningState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "IDLE_TIMEOUT_S", 0.2)
    async with running(configuration(state.data_dir)) as driver:
        for sent in (b"", b"\0", b"\0\x30abc"):
            async with connected(driver.ports[0]) as (reader, writer):
                writer.write(sent)
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await asyncio.wait_for(reader.readexactly(1), TIMEOUT_S)


async def test_connections_beyond_the_limit_are_closed_at_once(
    state: RunningState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS", 3)
    async with running(configuration(state.data_dir)) as driver, AsyncExitStack() as stack:
        (port,) = driver.ports
        held = [await stack.enter_async_context(connected(port)) for _ in range(3)]
        listener = driver.tcp_listeners[0]
        await until(lambda: len(listener.connections) == 3, "three connections")
        async with connected(port) as (reader, _):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await asyncio.wait_for(reader.readexactly(1), TIMEOUT_S)
        held[0][1].close()
        await until(lambda: len(listener.connections) == 2, "a free place")
        assert (await ask(port, "n1.node.consul A", over_tcp=True)).answer


async def test_a_client_that_reads_nothing_does_not_stop_the_others(state: RunningState) -> None:
    async with running(configuration(state.data_dir)) as driver:
        (port,) = driver.ports
        async with connected(port) as (_, writer):
            wire = dns.message.make_query("web.service.consul", "SRV").to_wire()
            for _ in range(200):
                writer.write((struct.pack("!H", len(wire)) + wire) * 100)
                await asyncio.sleep(0)
            assert (await ask(port, "n1.node.consul A")).answer
            assert (await ask(port, "n1.node.consul A", over_tcp=True)).answer


async def test_waiting_questions_are_bounded_and_late_answers_are_not_sent(
    state: RunningState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp, "MAX_WAITING", 5)
    monkeypatch.setattr(udp, "PATIENCE_S", 0.2)
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    config = configuration(state.data_dir, recursors=(f"127.0.0.1:{silent.getsockname()[1]}",))
    async with running(config) as driver:
        (port,) = driver.ports
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.connect(("127.0.0.1", port))
        client.setblocking(False)
        for number in range(20):
            client.send(dns.message.make_query(f"x{number}.example.com", "A").to_wire())
        listener = driver.udp_listeners[0]
        await until(lambda: listener.dropped == 20, "every question dropped")
        with pytest.raises(BlockingIOError):
            client.recv(512)
        assert (await ask(port, "n1.node.consul A")).answer
        client.close()
    silent.close()


async def test_questions_left_unread_for_too_long_are_dropped_and_the_next_are_answered(state: RunningState) -> None:
    async with running(configuration(state.data_dir)) as driver:
        ahead_s = 0.0
        listener = udp.UdpListener(driver.engine, "127.0.0.1", 0, lambda: time.time() + ahead_s)
        port = listener.open()
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", port))
            for _ in range(3):
                client.send(dns.message.make_query("web.service.consul", "A").to_wire())
            ahead_s = udp.PATIENCE_S + 1
            listener.start()
            try:
                await until(lambda: listener.dropped == 3, "every old question dropped")
                ahead_s = 0.0
                assert listener.answered == 0
                assert (await ask(port, "web.service.consul A")).answer
                assert listener.dropped == 3
            finally:
                listener.close()


async def test_several_addresses_and_reload(state: RunningState) -> None:
    config = replace(configuration(state.data_dir), addresses=Addresses(dns=("127.0.0.1", "127.0.0.2")))
    async with running(config) as driver:
        first, second = driver.ports
        query = dns.message.make_query("n1.node.consul", "A")
        assert (await dns.asyncquery.udp(query, "127.0.0.2", TIMEOUT_S, second)).answer[0].ttl == 0
        driver.reload(replace(config, dns=DnsConfig(node_ttl_ns=9_000_000_000)))
        assert (await ask(first, "n1.node.consul A")).answer[0].ttl == 9


async def test_a_broken_configuration_file_changes_nothing(
    state: RunningState, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(configuration(state.data_dir)) as driver:
        (state.data_dir / "run" / "config.json").write_text("{")
        with caplog.at_level(logging.ERROR):
            driver.reload_file()
        assert "cannot reload DNS configuration" in caplog.text
        assert (await ask(driver.ports[0], "n1.node.consul A")).answer


async def test_a_taken_address_is_named(state: RunningState) -> None:
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
        async with running(replace(configuration(state.data_dir), ports=Ports(dns=port))):
            raise AssertionError("started")
    taken.close()


async def test_port_minus_one_opens_nothing(state: RunningState) -> None:
    async with running(replace(configuration(state.data_dir), ports=Ports(dns=-1))) as driver:
        assert driver.ports == []


async def test_garbage_gets_a_refusal_and_harms_nothing(state: RunningState) -> None:
    async with running(configuration(state.data_dir)) as driver:
        (port,) = driver.ports
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.connect(("127.0.0.1", port))
        for garbage in (b"", b"x", b"\0" * 11, b"\xff" * 512, b"GET / HTTP/1.1\r\n\r\n", b"\0" * 60_000):
            client.send(garbage)
        client.close()
        async with connected(port) as (_, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
            await writer.drain()
            assert (await ask(port, "n1.node.consul A")).answer
