"""Leaf certificates as an agent keeps them: when they are renewed, and whom a change wakes."""

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from apid.core.access import Unresolved
from apid.core.encoding import to_json
from apid.core.errors import Forbidden, HttpError, TooManyRequests
from apid.core.message import JSON, Request, Response
from apid.core.read_options import CacheControl, ReadRequest
from apid.node.leaves import ROOTS_PATH, Leaves
from apid.node.state import Watcher
from lictor.config.runtime import RuntimeConfig
from lictor.connect import certificates
from lictor.page import RaftState, Role
from lictor.state import render

CLUSTER = "11111111-2222-3333-4444-555555555555"
HOUR_NS = 3_600_000_000_000
DEADLINE_S = 10.0


class Authority:
    """A server's answers about roots and signing, with real certificates."""

    def __init__(self, lifetime_ns: int = 72 * HOUR_NS, age_ns: int = 0) -> None:
        self.index = 10
        self.signed = 0
        self.busy = 0
        self.lifetime_ns, self.age_ns = lifetime_ns, age_ns
        self.watchers: list[Watcher] = []
        self.watched = asyncio.Event()
        self.rotate()

    def rotate(self) -> None:
        self.key = certificates.new_private_key()
        self.root = certificates.new_root(self.key, CLUSTER, self.index, time.time_ns())
        self.index += 1
        for watcher in self.watchers:
            watcher.event.set()

    def watch(self, topics: Any) -> Watcher:
        self.watchers.append(Watcher())
        self.watched.set()
        return self.watchers[-1]

    def forget(self, watcher: Watcher) -> None:
        self.watchers.remove(watcher)

    async def answer(self, request: Request) -> Response:
        if request.path == ROOTS_PATH:
            row = certificates.root_row(self.root, "consul", CLUSTER)
            return Response(200, render.ca_roots([row], CLUSTER), JSON, [(b"X-Consul-Index", b"%d" % self.index)])
        if self.busy:
            self.busy -= 1
            raise TooManyRequests("Rate limit reached, try again later")
        self.signed += 1
        self.index += 1
        wanted = certificates.parse_signing_request(json.loads(request.body)["CSR"])
        now_ns = time.time_ns() - self.age_ns
        leaf = certificates.sign_leaf(wanted, self.root, self.key, self.signed, self.lifetime_ns, now_ns)
        fields = {
            "SerialNumber": leaf.serial,
            "CertPEM": leaf.certificate,
            "Service": leaf.subject,
            "ServiceURI": leaf.uri,
            "ValidAfter": render.time_text(leaf.not_before_ns),
            "ValidBefore": render.time_text(leaf.not_after_ns),
            "ModifyIndex": self.index,
        }
        return Response(200, to_json(fields), JSON)


def leaves_of(authority: Authority) -> Leaves:
    config = RuntimeConfig(datacenter="bj", server_mode=True)
    node: Any = SimpleNamespace(config=config, changes=authority, state=authority)
    return Leaves(node, authority.answer, spread_s=0.05)


def question(token: bytes = b"") -> Request:
    return Request("GET", "/v1/agent/connect/ca/leaf/web", b"", [(b"x-consul-token", token)] if token else [])


PLAIN = ReadRequest()


async def test_a_leaf_is_kept_for_each_token_and_service() -> None:
    authority = Authority()
    leaves = leaves_of(authority)
    first, hit = await leaves.get(question(), "web", PLAIN)
    assert not hit
    again, hit = await leaves.get(question(), "web", PLAIN)
    assert (again, hit) == (first, True)
    assert (await leaves.get(question(b"t"), "web", PLAIN))[0] != first
    assert (await leaves.get(question(), "db", PLAIN))[0].service == "db"
    assert authority.signed == 3


async def test_who_asks_for_the_same_leaf_at_once_shares_it() -> None:
    authority = Authority()
    leaves = leaves_of(authority)
    found = await asyncio.gather(*(leaves.get(question(), "web", PLAIN) for _ in range(8)))
    assert authority.signed == 1
    assert len({leaf.serial for leaf, _ in found}) == 1


async def test_a_leaf_late_in_its_life_is_renewed_when_asked_for() -> None:
    authority = Authority(lifetime_ns=2 * HOUR_NS, age_ns=HOUR_NS * 19 // 10)
    leaves = leaves_of(authority)
    first, _ = await leaves.get(question(), "web", PLAIN)
    second, hit = await leaves.get(question(), "web", PLAIN)
    assert not hit
    assert second.serial != first.serial


async def test_a_leaf_is_made_anew_when_the_client_insists() -> None:
    authority = Authority()
    leaves = leaves_of(authority)
    first, _ = await leaves.get(question(), "web", PLAIN)
    insisting = ReadRequest(cache_control=CacheControl(must_revalidate=True))
    second, hit = await leaves.get(question(), "web", insisting)
    assert not hit
    assert second.serial != first.serial


async def test_another_root_wakes_who_waits_for_the_next_leaf() -> None:
    authority = Authority()
    leaves = leaves_of(authority)
    first, _ = await leaves.get(question(), "web", PLAIN)
    waiting = asyncio.create_task(leaves.get(question(), "web", ReadRequest(min_index=first.index)))
    async with asyncio.timeout(DEADLINE_S):
        await authority.watched.wait()
        authority.busy = 2  # Refused for a while, it tries again.
        authority.rotate()
        second, _ = await waiting
    assert second.index > first.index
    assert second.root_id != first.root_id
    assert not authority.watchers


async def test_a_wait_that_ends_gives_the_same_leaf_again() -> None:
    authority = Authority()
    leaves = leaves_of(authority)
    first, _ = await leaves.get(question(), "web", PLAIN)
    same, _ = await leaves.get(question(), "web", ReadRequest(min_index=first.index, wait_ns=20_000_000))
    assert same == first


async def test_a_leaf_without_a_service_is_refused_and_not_signed() -> None:
    authority = Authority()
    with pytest.raises(HttpError, match="URI must be either service or agent"):
        await leaves_of(authority).get(question(), "", PLAIN)
    assert authority.signed == 0


async def test_a_follower_signs_once_it_knows_what_the_token_may_do() -> None:
    class Follower(Authority):
        """Has to be caught up before it knows the message's rights; it keeps them on the message."""

        def __init__(self) -> None:
            super().__init__()
            self.confirmed: list[Request] = []

        async def answer(self, request: Request) -> Response:
            async def confirm() -> None:
                self.confirmed.append(request)

            if request.path != ROOTS_PATH and request not in self.confirmed:
                raise Unresolved(confirm)
            return await super().answer(request)

    leaf, hit = await leaves_of(Follower()).get(question(), "web", PLAIN)
    assert (leaf.service, hit) == ("web", False)


@pytest.mark.parametrize(
    ("role", "text"),
    [(Role.LEADER, "Permission denied"), (Role.FOLLOWER, "rpc error making call: Permission denied")],
)
async def test_a_refusal_to_sign_tells_whether_another_server_leads(role: Role, text: str) -> None:
    class Refusing(Authority):
        async def answer(self, request: Request) -> Response:
            if request.path != ROOTS_PATH:
                raise Forbidden("Permission denied")
            return await super().answer(request)

        def raft(self) -> RaftState:
            return RaftState(role=role, known_leader=True)

    with pytest.raises(HttpError) as refusal:
        await leaves_of(Refusing()).get(question(), "web", PLAIN)
    assert (refusal.value.status, str(refusal.value)) == (403, text)
