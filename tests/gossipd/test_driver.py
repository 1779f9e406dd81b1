"""Pools with real sockets: joins, restarts, garbage, keys."""

import asyncio
import logging
import socket
import struct
from pathlib import Path
from random import Random

import pytest

from gossipd.addresses import AddressError, split_address
from gossipd.core.errors import KeyRefused
from gossipd.core.policy import LanPolicy
from gossipd.driver import PoolDriver
from gossipd.files import KeyringFileError, SnapshotFile, load_keyring, save_keyring
from gossipd.transport import BindError
from tests.gossipd.pools import PORT, running, setup, statuses
from tests.gossipd.waiting import until

ONE, TWO, THREE = "127.0.72.1", "127.0.72.2", "127.0.72.3"
KEY = bytes(range(32))
GARBAGE = [b"\x00", b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)), b"\x06\x83", b"\x0a\xff\xff\xff\xff"]


async def test_three_pools_become_one_and_notice_a_death() -> None:
    async with running(setup("a", ONE)) as a, running(setup("b", TWO)) as b, running(setup("c", THREE)) as c:
        assert await b.join([f"{ONE}:{PORT}"], PORT) == (1, [])
        assert await c.join([f"{TWO}"], PORT) == (1, [])
        everybody = {"a": "alive", "b": "alive", "c": "alive"}
        for driver in (a, b, c):
            await until(lambda: statuses(driver) == everybody, "all three see each other")  # noqa: B023
        await c.stop()
        for driver in (a, b):
            await until(lambda: statuses(driver) == {**everybody, "c": "failed"}, "c failed", 20)  # noqa: B023


async def test_a_join_says_for_every_address_why_it_failed() -> None:
    async with running(setup("a", ONE)) as a:
        contacted, errors = await a.join([f"{TWO}:1", "no-such-host.invalid", "bad:port"], PORT)
    assert contacted == 0
    assert errors[0] == f"Failed to join {TWO}: dial tcp {TWO}:1: connect: connection refused"
    assert errors[1].startswith("Failed to resolve no-such-host.invalid: lookup no-such-host.invalid:")
    assert errors[2] == 'Failed to resolve bad:port: invalid port "port"'


async def test_another_datacenter_is_refused_with_its_name(caplog: pytest.LogCaptureFixture) -> None:
    bj = setup("a", ONE, tags={"role": "node", "dc": "bj"}, policy=LanPolicy("a", "1", "bj"))
    sh = setup("b", TWO, tags={"role": "node", "dc": "sh"}, policy=LanPolicy("b", "2", "sh"))
    async with running(bj) as a, running(sh) as b:
        contacted, errors = await b.join([ONE], PORT)
        assert (contacted, errors) == (0, [f"Failed to join {ONE}: Member 'a' part of wrong datacenter 'bj'"])
        assert statuses(a) == {"a": "alive"}
    assert "Failed push/pull merge: Member 'b' part of wrong datacenter 'sh'" in caplog.text


async def test_a_restarted_pool_finds_back_by_its_snapshot(tmp_path: Path) -> None:
    async with running(setup("a", ONE, directory=tmp_path)) as a:
        async with running(setup("b", TWO, directory=tmp_path), 2) as b:
            await b.join([ONE], PORT)
            await until(lambda: statuses(a) == {"a": "alive", "b": "alive"}, "joined")
        await until(lambda: statuses(a)["b"] == "failed", "b failed", 20)
        async with running(setup("b", TWO, directory=tmp_path), 3) as b:
            await until(lambda: statuses(b) == {"a": "alive", "b": "alive"}, "b is back by itself")
            await until(lambda: statuses(a) == {"a": "alive", "b": "alive"}, "a sees it")


async def test_after_a_graceful_leave_a_restart_stays_alone(tmp_path: Path) -> None:
    async with running(setup("a", ONE)) as a:
        async with running(setup("b", TWO, directory=tmp_path)) as b:
            await b.join([ONE], PORT)
            await until(lambda: statuses(a) == {"a": "alive", "b": "alive"}, "joined")
            await b.leave()
        await until(lambda: statuses(a)["b"] == "left", "b left")
    assert "leave\n" in (tmp_path / "b.snapshot").read_text()
    driver = PoolDriver(setup("b", TWO, directory=tmp_path), Random(1))
    assert driver._open_snapshot() is not None
    assert driver._previous == {}


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
async def test_garbage_on_both_ports_harms_nothing(key: bytes | None) -> None:
    async with running(setup("a", ONE, key=key)) as a, running(setup("b", TWO, key=key), 2) as b:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for data in GARBAGE:
                udp.sendto(data, (ONE, PORT))
        for data in GARBAGE:
            reader, writer = await asyncio.open_connection(ONE, PORT)
            writer.write(data)
            writer.write_eof()
            # Whatever it answers, it ends the connection.
            try:
                await asyncio.wait_for(reader.read(), 5)
            except ConnectionError:
                pass
            writer.close()
        assert await b.join([ONE], PORT) == (1, [])
        await until(lambda: statuses(a) == {"a": "alive", "b": "alive"}, "still works")


async def test_a_peer_without_the_key_is_told_why_and_stays_out() -> None:
    async with running(setup("a", ONE, key=KEY)) as a, running(setup("b", TWO)) as b:
        contacted, errors = await b.join([ONE], PORT)
        assert contacted == 0
        assert "encryption" in errors[0]
        assert statuses(a) == {"a": "alive"}


async def test_a_taken_port_is_an_error_that_names_it() -> None:
    async with running(setup("a", ONE)):
        with pytest.raises(BindError, match=f'Failed to start TCP listener on "{ONE}" port {PORT}'):
            await PoolDriver(setup("b", ONE), Random(1)).start()


async def test_tags_change_at_run_time_and_reach_the_others() -> None:
    async with running(setup("a", ONE, tags={"x": "1", "y": "2"})) as a, running(setup("b", TWO)) as b:
        await b.join([ONE], PORT)
        a.set_tags({"x": "3", "z": "4"}, ["y"])
        await until(
            lambda: {member.name: member.tags for member in b.members()}.get("a") == {"x": "3", "z": "4"}, "new tags"
        )


async def test_coordinates_are_learned() -> None:
    async with running(setup("a", ONE)) as a, running(setup("b", TWO)) as b:
        await b.join([ONE], PORT)
        await until(lambda: "b" in a.pool.serf.peer_coordinates, "a coordinate of b")
        await until(lambda: a.pool.serf.coordinates.coordinate.error < 1.5, "a's own coordinate moves")


async def test_an_address_of_ipv6_works() -> None:
    if not socket.has_ipv6:
        return
    async with running(setup("a", "::1")) as a, running(setup("b", TWO)) as b:
        assert (await a.join(["[::1]:1"], PORT))[1] == [
            "Failed to join ::1: dial tcp [::1]:1: connect: connection refused"
        ]
        assert statuses(b) == {"b": "alive"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", ("10.0.0.1", 8301)),
        ("10.0.0.1:99", ("10.0.0.1", 99)),
        ("host", ("host", 8301)),
        ("host:99", ("host", 99)),
        ("::1", ("::1", 8301)),
        ("[::1]", ("::1", 8301)),
        ("[::1]:99", ("::1", 99)),
    ],
)
def test_join_addresses(text: str, expected: tuple[str, int]) -> None:
    assert split_address(text, 8301) == expected


@pytest.mark.parametrize("text", ["host:", "host:x", ":99", "host:70000", ""])
def test_bad_join_addresses(text: str) -> None:
    with pytest.raises(AddressError):
        split_address(text, 8301)


def test_the_keyring_file_wins_over_the_configured_key(tmp_path: Path) -> None:
    path = tmp_path / "local.keyring"
    configured = "MDEyMzQ1Njc4OWFiY2RlZg=="
    assert load_keyring(path, configured).keys == (b"0123456789abcdef",)
    assert path.read_text() == f'[\n  "{configured}"\n]'
    assert path.stat().st_mode & 0o777 == 0o600
    save_keyring(path, (KEY,))
    assert load_keyring(path, configured).keys == (KEY,)
    path.write_text("{")
    with pytest.raises(KeyringFileError, match=r"local\.keyring"):
        load_keyring(path, configured)
    with pytest.raises(KeyRefused, match="key size must be 16, 24 or 32 bytes"):
        load_keyring(None, "AAAA")


def test_a_torn_snapshot_line_is_closed_before_the_next_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.snapshot"
    path.write_text("alive: b 10.0.0.2:1\nalive: c 10.0.0")
    driver = PoolDriver(setup("a", ONE, directory=tmp_path), Random(1))
    with caplog.at_level(logging.WARNING):
        driver._open_snapshot()
    file = SnapshotFile(path)
    assert file.read().endswith("10.0.0\n")


async def test_large_views_are_exchanged_in_many_chunks() -> None:
    """A pool of two thousand members crosses a real stream."""
    from gossipd.core.config import VERSIONS
    from gossipd.core.messages import Alive

    async with running(setup("a", ONE)) as a, running(setup("b", TWO)) as b:
        received = [
            (Alive(1, f"member-{number}", struct.pack(">I", 0x0A000000 + number), 1, b"\xff\x80", VERSIONS), b"")
            for number in range(2000)
        ]
        a.pool.receive(received, (ONE, PORT), a._clock_ns())
        assert await b.join([ONE], PORT) == (1, [])
        assert len(b.members()) == 2002
