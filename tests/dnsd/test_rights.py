"""DNS with access control on: what the agent's default token may see, by the records of this very moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rcode
import pytest
from msgspec.structs import replace

from dnsd.driver import Driver
from lictor.config.runtime import AclConfig, AclTokens
from tests.dnsd.running import RunningState, WriterProcess, configuration, running, writing

TIMEOUT_S = 5.0
READ_ALL = 'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }'
READ_WEB = 'node_prefix "" { policy = "read" } service "web" { policy = "read" }'


@pytest.fixture(scope="module")
def writer() -> Iterator[WriterProcess]:
    with writing() as process:
        yield process


@pytest.fixture
def state(tmp_path: Path, writer: WriterProcess) -> Iterator[RunningState]:
    kept = RunningState(tmp_path, writer)
    kept.node("w1", "10.1.1.1", "web", port=80)
    kept.nodes([("d1", "10.1.1.2", "db", {"port": 81, "address": "10.1.1.3"})])
    kept.node("p1", "10.1.1.4", "web-proxy", port=82, kind="connect-proxy", proxy={"DestinationServiceName": "web"})
    kept.policy("all", READ_ALL)
    kept.policy("web", READ_WEB)
    kept.token("anonymous")
    yield kept
    kept.close()


@asynccontextmanager
async def guarded(state: RunningState, default_policy: str = "deny", default: str = "") -> AsyncIterator[Driver]:
    acl = AclConfig(enabled=True, default_policy=default_policy, tokens=AclTokens(default=default))
    config = replace(configuration(state.data_dir), primary_datacenter="bj", acl=acl)
    async with running(config) as driver:
        yield driver


async def answer(driver: Driver, name: str, kind: str = "A") -> str:
    """The response code, and how many records there are in the answer."""
    query = dns.message.make_query(name, kind)
    response = await dns.asyncquery.udp(query, "127.0.0.1", TIMEOUT_S, driver.ports[0])
    return f"{dns.rcode.to_text(response.rcode())} {sum(len(found) for found in response.answer)}"


async def test_the_anonymous_see_nothing_that_no_rule_shows_them(state: RunningState) -> None:
    async with guarded(state) as driver:
        for name in ("web.service.consul", "w1.node.consul", "web.connect.consul"):
            assert await answer(driver, name) == "NXDOMAIN 0"
        assert await answer(driver, "1.1.1.10.in-addr.arpa", "PTR") == "SERVFAIL 0"


async def test_with_the_default_policy_allow_all_is_seen_but_what_is_denied(state: RunningState) -> None:
    state.policy("no-db", 'service "db" { policy = "deny" }')
    state.token("anonymous", "no-db")
    async with guarded(state, "allow") as driver:
        assert await answer(driver, "web.service.consul") == "NOERROR 1"
        assert await answer(driver, "db.service.consul") == "NXDOMAIN 0"


async def test_the_agents_default_token_decides(state: RunningState) -> None:
    state.token("secret", "web")
    async with guarded(state, default="secret") as driver:
        assert await answer(driver, "web.service.consul") == "NOERROR 1"
        assert await answer(driver, "d1.node.consul") == "NOERROR 1"
        assert await answer(driver, "db.service.consul") == "NXDOMAIN 0"
        assert await answer(driver, "web.connect.consul") == "NXDOMAIN 0"
        assert await answer(driver, "2.1.1.10.in-addr.arpa", "PTR") == "NOERROR 1"
        assert await answer(driver, "3.1.1.10.in-addr.arpa", "PTR") == "SERVFAIL 0"


async def test_kept_packets_end_with_the_rights_they_were_made_with(state: RunningState) -> None:
    state.token("secret", "all")
    async with guarded(state, default="secret") as driver:
        for _ in range(2):
            assert await answer(driver, "db.service.consul") == "NOERROR 1"
            assert await answer(driver, "3.1.1.10.in-addr.arpa", "PTR") == "NOERROR 1"
        state.policy("all", READ_WEB)
        assert await answer(driver, "db.service.consul") == "NXDOMAIN 0"
        assert await answer(driver, "3.1.1.10.in-addr.arpa", "PTR") == "SERVFAIL 0"
        state.policy("all", READ_ALL)
        assert await answer(driver, "db.service.consul") == "NOERROR 1"
        state.token("secret", "web")
        assert await answer(driver, "db.service.consul") == "NXDOMAIN 0"
        assert await answer(driver, "web.service.consul") == "NOERROR 1"


async def test_an_unknown_token_gets_no_answer_from_the_catalog(state: RunningState) -> None:
    state.token("secret", "all")
    async with guarded(state, default="secret") as driver:
        assert await answer(driver, "web.service.consul") == "NOERROR 1"
        state.forget_token("secret")
        assert await answer(driver, "web.service.consul") == "SERVFAIL 0"


async def test_another_default_token_counts_at_once(state: RunningState) -> None:
    state.token("secret", "web")
    async with guarded(state) as driver:
        assert await answer(driver, "web.service.consul") == "NXDOMAIN 0"
        driver.use_tokens(AclTokens(default="secret"))
        assert await answer(driver, "web.service.consul") == "NOERROR 1"
        driver.use_tokens(AclTokens())
        assert await answer(driver, "web.service.consul") == "NXDOMAIN 0"


async def test_a_restored_state_is_looked_at_anew(state: RunningState) -> None:
    state.token("secret", "all")
    async with guarded(state, default="secret") as driver:
        assert await answer(driver, "web.service.consul") == "NOERROR 1"
        state.replace()
        state.node("w1", "10.1.1.1", "web", port=80)
        assert await answer(driver, "web.service.consul") == "SERVFAIL 0"
