"""Leaf certificates of this node's services: kept, renewed in time, replaced when the root changes (Consul 1.7:
cache-types/connect_ca_leaf.go).

A certificate is asked for anew at a random moment between six and nine tenths of its life. When another root becomes
active, those who wait for a change get theirs spread over a while, so that a cluster does not ask all at once.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from apid.core.access import Unresolved
from apid.core.encoding import to_json
from apid.core.errors import CALL_PREFIX, HttpError, TooManyRequests
from apid.core.message import Request, Response
from apid.core.read_options import INDEX_WAIT_FRACTION, ReadRequest, wait_limit_ns
from apid.node.bearer import headers_with_token
from lictor.connect.spiffe import ServiceIdentity
from lictor.page import Role
from lictor.state import topics

if TYPE_CHECKING:
    from apid.node.context import Node

MAX_LEAVES = 8192
SOFT_EXPIRY, HARD_EXPIRY = 0.6, 0.9
ROOT_CHANGE_SPREAD_S = 30.0
ROOTS_WAIT_S = 60
ROOTS_PATH = "/v1/connect/ca/roots"
SIGN_PATH = "/v1/internal/connect/ca/sign"
FIRST_SIGN_PATH = "/v1/internal/auto_encrypt/sign"
"""For agents that have no certificate to show yet."""
NO_SUBJECT = "URI must be either service or agent"

Own = Callable[[Request], Awaitable[Response]]
"""This server's own answer about roots and signing."""
Question = tuple[str, str]
"""Token and service."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One certificate with its key. `root_id` is the root that was active when it was signed; times in seconds since
    1970, but `taken_s`, which is monotonic."""

    serial: str
    certificate: str
    private_key: str
    service: str
    uri: str
    valid_after: str
    valid_before: str
    index: int
    root_id: str
    renew_at_s: float
    taken_s: float


@dataclass(frozen=True, slots=True)
class Roots:
    """What a leaf depends on."""

    active_id: str
    trust_domain: str
    index: int


class Leaves:
    """The certificates that were asked for; the least recently used go first."""

    def __init__(self, node: Node, own: Own, spread_s: float = ROOT_CHANGE_SPREAD_S) -> None:
        self._node = node
        self._own = own
        self._spread_s = spread_s
        self._leaves: dict[Question, Leaf] = {}
        self._pending: dict[Question, asyncio.Task[Leaf]] = {}
        self._random = random.Random()

    def age_s(self, leaf: Leaf) -> int:
        """How long this agent has had it."""
        return int(time.monotonic() - leaf.taken_s)

    async def get(self, request: Request, service: str, options: ReadRequest) -> tuple[Leaf, bool]:
        """A service's certificate, and whether it was there already. With `min_index` the next one, after at most the
        options' wait the same again. Errors: HttpError."""
        question = (request.token(), service)
        roots = await self._roots(request)
        leaf = self._leaves.get(question)
        must_revalidate = options.cache_control.must_revalidate
        if leaf is None:
            return await self._take(request, question, roots), False
        due = leaf.root_id != roots.active_id or leaf.renew_at_s <= time.time() or must_revalidate
        if due and not options.min_index:
            return await self._take(request, question, roots), False
        if options.min_index < leaf.index:
            self._leaves[question] = self._leaves.pop(question, leaf)
            return leaf, True
        return await self._next(request, question, leaf, options), False

    async def _next(self, request: Request, question: Question, leaf: Leaf, options: ReadRequest) -> Leaf:
        """Waits until the certificate is due to be replaced."""
        config = self._node.config
        limit_s = wait_limit_ns(options.wait_ns, config.default_query_time_ns, config.max_query_time_ns) / 1e9
        limit_s += self._random.uniform(0, limit_s / INDEX_WAIT_FRACTION)
        deadline_s = time.monotonic() + limit_s
        renew_at_s = leaf.renew_at_s
        while True:
            current = self._leaves.get(question)
            if current is not None and current.index > options.min_index:
                return current
            roots = await self._roots(request)
            if roots.active_id != leaf.root_id:
                renew_at_s = min(renew_at_s, time.time() + self._random.uniform(0, self._spread_s))
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return leaf
            due_s = renew_at_s - time.time()
            if due_s <= 0:
                try:
                    return await self._take(request, question, roots)
                except TooManyRequests:
                    renew_at_s = time.time() + self._random.uniform(0, self._spread_s)
                    continue
            pause_s = min(due_s, left_s)
            if roots.active_id == leaf.root_id:
                await self._root_change(request, roots, pause_s)
            else:
                await asyncio.sleep(pause_s)

    async def _take(self, request: Request, question: Question, roots: Roots) -> Leaf:
        """A new certificate; who asks for the same one meanwhile shares it."""
        task = self._pending.get(question)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._generate(request, question, roots))
            self._pending[question] = task
            task.add_done_callback(lambda _: self._pending.pop(question, None))
        return await asyncio.shield(task)

    async def _generate(self, request: Request, question: Question, roots: Roots) -> Leaf:
        from lictor.connect.certificates import new_private_key, new_signing_request

        service = question[1]
        if not service:
            raise HttpError(NO_SUBJECT)
        if not roots.trust_domain:
            raise HttpError("cluster has no CA bootstrapped yet")
        key = new_private_key()
        identity = ServiceIdentity(roots.trust_domain, "default", self._node.config.datacenter, service)
        body = to_json({"CSR": new_signing_request(key, identity)})
        answer = await self._ask(request, "POST", SIGN_PATH, body=body)
        fields = json.loads(answer.body)
        leaf = Leaf(
            serial=fields["SerialNumber"],
            certificate=fields["CertPEM"],
            private_key=key,
            service=fields["Service"],
            uri=fields["ServiceURI"],
            valid_after=fields["ValidAfter"],
            valid_before=fields["ValidBefore"],
            index=fields["ModifyIndex"],
            root_id=roots.active_id,
            renew_at_s=self._renewal(fields),
            taken_s=time.monotonic(),
        )
        self._leaves.pop(question, None)
        while len(self._leaves) >= MAX_LEAVES:
            del self._leaves[next(iter(self._leaves))]
        self._leaves[question] = leaf
        return leaf

    def _renewal(self, fields: dict[str, Any]) -> float:
        """A random moment in the part of its life in which a certificate is renewed."""
        begin_s = datetime.fromisoformat(fields["ValidAfter"]).timestamp()
        end_s = datetime.fromisoformat(fields["ValidBefore"]).timestamp()
        return begin_s + (end_s - begin_s) * self._random.uniform(SOFT_EXPIRY, HARD_EXPIRY)

    async def _roots(self, request: Request, index: int = 0, wait_s: float = 0) -> Roots:
        """The roots as a server has them, after a change when `index` is given."""
        query = f"index={index}&wait={int(wait_s * 1000) + 1}ms".encode() if index else b""
        answer = await self._ask(request, "GET", ROOTS_PATH, query)
        fields = json.loads(answer.body)
        shown_index = answer.header(b"x-consul-index") or b"0"
        return Roots(fields["ActiveRootID"], fields["TrustDomain"], int(shown_index))

    async def _root_change(self, request: Request, roots: Roots, limit_s: float) -> None:
        """Returns when the roots have changed, or after the time."""
        limit_s = min(limit_s, ROOTS_WAIT_S)
        if not self._node.config.server_mode:
            await self._roots(request, roots.index, limit_s)
            return
        watcher = self._node.changes.watch((topics.CA_ROOTS,))
        try:
            if (await self._roots(request)).index == roots.index:
                async with asyncio.timeout(limit_s):
                    await watcher.event.wait()
        except TimeoutError:
            return
        finally:
            self._node.changes.forget(watcher)

    async def _ask(self, request: Request, method: str, path: str, query: bytes = b"", body: bytes = b"") -> Response:
        """A server's answer: this one's own, or of one that a client agent knows. Errors: HttpError."""
        target = path.encode() + (b"?" + query if query else b"")
        headers = headers_with_token(request)
        message = Request(method, path, query, headers, body, request.remote_address, target, request.hops)
        message.internal = True
        if not self._node.config.server_mode:
            response = await self._node.forwarder.send(message, own=True)
        else:
            try:
                response = await self._resolved(message)
            except TooManyRequests:
                raise
            except HttpError as error:
                raise HttpError(self._far() + str(error), error.status) from None
        if response.status == TooManyRequests.status:
            raise TooManyRequests(response.body.decode())
        if response.status != 200:
            raise HttpError(self._far() + response.body.decode("utf-8", "replace"), response.status)
        return response

    async def _resolved(self, message: Request) -> Response:
        """This server's own answer, asked anew until it is known what the message's token may do."""
        while True:
            try:
                return await self._own(message)
            except Unresolved as unresolved:
                if unresolved.wait is not None:
                    await unresolved.wait()

    def _far(self) -> str:
        """What Consul puts before a refusal of the server that signs when that is not this one."""
        raft = self._node.state.raft()
        near = self._node.config.server_mode and (raft.role is Role.LEADER or not raft.known_leader)
        return "" if near else CALL_PREFIX
