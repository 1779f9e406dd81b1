"""Stock serf agents and our pools are members of one another, with and without encryption."""

from pathlib import Path

import pytest

from gossipd.core.effects import QueryReceived
from gossipd.core.messages import UserEvent
from gossipd.driver import PoolDriver
from tests.gossipd.interop.serf_agent import SerfAgent, serf_agent
from tests.gossipd.pools import PORT, running, setup, statuses
from tests.gossipd.waiting import until, until_async

KEY = b"0123456789abcdef" * 2
KEYS = pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
OURS_1, OURS_2, THEIRS_1, THEIRS_2 = (f"127.0.71.{number}" for number in range(1, 5))
ALL_ALIVE = {"ours1": "alive", "ours2": "alive", "serf1": "alive", "serf2": "alive"}


async def everybody_sees(ours: list[PoolDriver], theirs: list[SerfAgent], expected: dict[str, str]) -> None:
    """All pools list exactly these members with these statuses."""
    for driver in ours:
        await until(lambda: statuses(driver) == expected, f"ours sees {expected}", 25)  # noqa: B023
    for agent in theirs:

        async def sees() -> bool:
            return await agent.statuses() == expected  # noqa: B023

        await until_async(sees, f"{agent.name} sees {expected}", 25)


@KEYS
async def test_stock_agents_join_our_pool_and_are_full_members(key: bytes | None, tmp_path: Path) -> None:
    async with (
        running(setup("ours1", OURS_1, key=key, tags={"role": "db"}), 1) as ours1,
        running(setup("ours2", OURS_2, key=key), 2) as ours2,
        serf_agent("serf1", THEIRS_1, tmp_path, key, join=OURS_1) as serf1,
        serf_agent("serf2", THEIRS_2, tmp_path, key, join=OURS_1) as serf2,
    ):
        assert await ours2.join([f"{OURS_1}:{PORT}"], PORT) == (1, [])
        await everybody_sees([ours1, ours2], [serf1, serf2], ALL_ALIVE)
        tags = {member["name"]: member["tags"] for member in await serf2.members()}
        assert tags["ours1"] == {"role": "db"}
        assert {member.name: member.tags for member in ours2.members()}["serf1"] == {"kind": "stock"}

        await serf2.kill()
        await everybody_sees([ours1, ours2], [serf1], {**ALL_ALIVE, "serf2": "failed"})
        await ours2.stop()
        await everybody_sees([ours1], [serf1], {**ALL_ALIVE, "serf2": "failed", "ours2": "failed"})


@KEYS
async def test_our_pools_join_a_stock_agent_and_leaves_are_seen(key: bytes | None, tmp_path: Path) -> None:
    async with (
        serf_agent("serf1", THEIRS_1, tmp_path, key) as serf1,
        serf_agent("serf2", THEIRS_2, tmp_path, key, join=THEIRS_1) as serf2,
        running(setup("ours1", OURS_1, key=key), 3) as ours1,
        running(setup("ours2", OURS_2, key=key), 4) as ours2,
    ):
        assert await ours1.join([f"{THEIRS_1}:{PORT}"], PORT) == (1, [])
        assert await ours2.join([f"{THEIRS_2}:{PORT}"], PORT) == (1, [])
        await everybody_sees([ours1, ours2], [serf1, serf2], ALL_ALIVE)

        await serf2.run("leave")
        await everybody_sees([ours1, ours2], [serf1], {**ALL_ALIVE, "serf2": "left"})
        await ours2.leave()
        await everybody_sees([ours1], [serf1], {**ALL_ALIVE, "serf2": "left", "ours2": "left"})


@KEYS
async def test_user_events_and_queries_cross_in_both_directions(key: bytes | None, tmp_path: Path) -> None:
    async with (
        running(setup("ours1", OURS_1, key=key), 5) as ours1,
        serf_agent("serf1", THEIRS_1, tmp_path, key, join=OURS_1) as serf1,
        serf_agent("serf2", THEIRS_2, tmp_path, key, join=OURS_1) as serf2,
    ):
        heard: list[UserEvent] = []
        ours1.event_listeners.append(heard.append)

        def answer(query: QueryReceived) -> None:
            ours1.respond(query, b"ours: " + query.query.payload)

        ours1.query_listeners.append(answer)
        expected = {name: status for name, status in ALL_ALIVE.items() if name != "ours2"}
        await everybody_sees([ours1], [serf1, serf2], expected)

        await serf1.run("event", "deploy", "abc123")
        await until(lambda: ("deploy", b"abc123") in [(event.name, event.payload) for event in heard], "their event")
        ours1.fire_event("restart", b"web", coalesce=True)
        for agent in (serf1, serf2):
            await until(lambda: agent.seen("user restart web"), f"our event reaches {agent.name}")  # noqa: B023

        output = await serf2.run("query", "-timeout=3s", "load", "now")
        assert "Ack from 'ours1'" in output
        assert "Response from 'ours1': ours: now" in output
        assert "Response from 'serf1': NOW" in output

        answers = await ours1.query("load", b"now", acks=True, relay_factor=1, timeout_ns=3_000_000_000)
        assert answers.acks == {"ours1", "serf1", "serf2"}
        assert answers.payloads == {"ours1": b"ours: now", "serf1": b"NOW", "serf2": b"NOW"}


async def test_a_stock_agent_rotates_the_keys_of_our_pool(tmp_path: Path) -> None:
    new_key = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
    async with (
        running(setup("ours1", OURS_1, key=KEY, directory=tmp_path), 6) as ours1,
        serf_agent("serf1", THEIRS_1, tmp_path, KEY, join=OURS_1) as serf1,
    ):
        await everybody_sees([ours1], [serf1], {"ours1": "alive", "serf1": "alive"})
        old_key = ours1.pool.keyring.texts()[0]
        await serf1.run("keys", f"-install={new_key}")
        await serf1.run("keys", f"-use={new_key}")
        await serf1.run("keys", f"-remove={old_key}")
        listed = await serf1.run("keys", "-list")
        assert f"{new_key}  [2/2]" in listed
        assert old_key not in listed
        assert ours1.pool.keyring.texts() == (new_key,)
        assert new_key in (tmp_path / "ours1.keyring").read_text()
        await until(lambda: statuses(ours1) == {"ours1": "alive", "serf1": "alive"}, "still one pool")
