"""A server's access decisions over a state in memory: tokens, policies and roles set at will, a few guarded routes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from apid.core.dispatcher import Dispatcher
from apid.core.errors import PERMISSION_DENIED, Forbidden, NoServers
from apid.core.message import Answer, HeaderList, Request, Response
from apid.core.routes import Operation, Route
from apid.endpoints.acl_resolve import AclResolveEndpoints
from apid.node.access import Access
from apid.node.agent_tokens import AgentTokens
from apid.node.reading import Reads, json_response
from apid.node.versions import of_tables
from lictor.acl.builtin import anonymous_token, management_policy
from lictor.config.runtime import AclConfig, AclTokens, RuntimeConfig
from lictor.page import RaftState
from lictor.state import commands as c
from lictor.state.queries import kv
from lictor.state.rows import ACLPolicy, ACLRole, ACLToken, Link
from lictor.state.topics import Waiters
from tests.state.builders import Machine

NOW_NS = 1_600_000_000 * 10**9


class State:
    """The state reader: leads unless told otherwise, and counts its transactions."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.generation = 1
        self.leads = True
        self.reads = 0

    def raft(self) -> RaftState:
        return RaftState(generation=self.generation, applied_index=self._machine.index, known_leader=True)

    def serves_default(self) -> bool:
        return self.leads

    def serves_consistent(self) -> bool:
        return False

    def holds_lease(self) -> bool:
        return self.leads

    def last_contact_ms(self, raft: RaftState) -> int:
        return 0

    @contextmanager
    def read(self) -> Iterator[Any]:
        self.reads += 1
        yield self._machine.txn


class Changed:
    """The change stream."""

    def __init__(self) -> None:
        self.resets = 0
        self.waiters: Waiters[Any] = Waiters()
        self.waiting = asyncio.Event()

    def watch(self, topics: Any) -> Any:
        watcher = Woken()
        self.waiters.add(watcher, topics)
        self.waiting.set()
        return watcher

    def call(self, topics: Any, callback: Callable[[], None]) -> Any:
        watcher = Woken(callback)
        self.waiters.add(watcher, topics)
        return watcher

    def forget(self, watcher: Any) -> None:
        self.waiters.remove(watcher)

    async def caught_up(self, index: int) -> None:
        return


class Woken:
    def __init__(self, callback: Callable[[], None] | None = None) -> None:
        self.event = asyncio.Event()
        self._callback = callback

    def wake(self) -> None:
        self.event.set()
        if self._callback is not None:
            self._callback()


class Consensus:
    """Barriers: each one first does what is planned, as what a follower has not applied yet."""

    def __init__(self) -> None:
        self.barriers = 0
        self.arriving: list[c.AnyCommand] = []
        self.machine: Machine | None = None

    async def barrier(self) -> int:
        assert self.machine is not None
        self.barriers += 1
        while self.arriving:
            self.machine(self.arriving.pop(0))
        return self.machine.index


class OtherServers:
    """The way to another world's servers; they can be lost, or be without access control."""

    def __init__(self, world: World | None) -> None:
        self.world = world
        self.asked = 0
        self.lost = world is None
        self.disabled = False
        self.gate: asyncio.Event | None = None

    async def send(self, request: Request, datacenter: str = "", patient: bool = True, own: bool = False) -> Response:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.lost or self.world is None:
            raise NoServers
        access = None if self.disabled else self.world.access
        node: Any = SimpleNamespace(config=self.world.config, access=access)
        request.internal = True
        dispatcher = Dispatcher(AclResolveEndpoints(node).routes())
        answer = dispatcher.dispatch(request)
        return answer if isinstance(answer, Response) else await answer


class World:
    """`/v1/kv/`: one key, or with `?recurse` what may be read below; `/v1/agent/self`: reading the agent."""

    def __init__(
        self,
        default_policy: str = "deny",
        servers: OtherServers | None = None,
        datacenter: str = "dc1",
        server_mode: bool = True,
        rules: dict[str, Any] | None = None,
        **tokens: str,
    ) -> None:
        """`rules`: further settings of `acl`; `tokens`: those of the agent."""
        self.machine = Machine()
        acl = AclConfig(enabled=True, default_policy=default_policy, tokens=AclTokens(**tokens), **rules or {})
        self.config = RuntimeConfig(node_name="n1", datacenter=datacenter, server_mode=server_mode, acl=acl)
        self.tokens = AgentTokens(acl.tokens)
        self.state = State(self.machine)
        self.changes = Changed()
        self.consensus = Consensus()
        self.consensus.machine = self.machine
        parts: Any = (self.state, self.changes, self.consensus)
        self.access = Access(self.config, self.tokens, *parts, servers or OtherServers(None))
        self.access.start()
        self.reads = Reads(self.config, *parts, self.access)
        own = Operation(self._self, "a test", forwarded=False)
        self.dispatcher = Dispatcher(
            [Route("/v1/kv/", {"GET": Operation(self._kv, "a test")}), Route("/v1/agent/self", {"GET": own})]
        )
        if server_mode and datacenter == "dc1":
            self.machine(c.PolicySet([management_policy()]))
            self.machine(c.TokenSet([anonymous_token(NOW_NS)]))

    def policy(self, name: str, rules: str, datacenters: list[str] | None = None) -> None:
        self.apply(c.PolicySet([ACLPolicy(name, name, rules=rules, datacenters=datacenters, syntax=2)]))

    def role(self, name: str, *policies: str) -> None:
        self.apply(c.RoleSet([ACLRole(name, name, policies=[Link(each, each) for each in policies])]))

    def token(self, secret: str, *policies: str, roles: tuple[str, ...] = (), **fields: Any) -> None:
        self.apply(token_set(secret, *policies, roles=roles, **fields))

    def apply(self, command: c.AnyCommand) -> None:
        """Apply a command and wake who waits for what it changed."""
        self.machine(command)
        for watcher in self.changes.waiters.woken(self.machine.topics):
            watcher.wake()

    def answer(self, path: str, secret: str = "", hops: int = 0) -> Answer:
        name, _, query = path.partition("?")
        headers: HeaderList = [(b"x-consul-token", secret.encode())] if secret else []
        return self.dispatcher.dispatch(Request("GET", name, query.encode(), headers, target=path.encode(), hops=hops))

    async def get(self, path: str, secret: str = "", hops: int = 0) -> tuple[int, str]:
        """Status and body."""
        answer = self.answer(path, secret, hops)
        response = answer if isinstance(answer, Response) else await answer
        return response.status, response.body.decode()

    def _kv(self, request: Request) -> Answer:
        options = self.reads.parse(request)
        authorizer = self.access.authorizer(request)
        key = request.tail.encode()
        versions = of_tables("kvs")
        if request.has("recurse"):
            return self.reads.answer(
                request,
                lambda txn: kv.list_prefix(txn, key, authorizer),
                lambda pairs: json_response(b" ".join(pair[0] for pair in pairs)),
                options=options,
                versions=versions,
            )
        if not authorizer.key_read(request.tail):
            raise Forbidden(PERMISSION_DENIED)
        return self.reads.answer(
            request,
            lambda txn: kv.get(txn, key),
            lambda entry: json_response(entry.value if entry else b""),
            options=options,
            versions=versions,
        )

    def _self(self, request: Request) -> Response:
        if not self.access.authorizer(request).agent_read("n1"):
            raise Forbidden(PERMISSION_DENIED)
        return json_response(b"{}")


def token_set(secret: str, *policies: str, roles: tuple[str, ...] = (), **fields: Any) -> c.TokenSet:
    """The command that makes a token with these policies and roles; its accessor ID is made from the secret."""
    row = ACLToken(
        f"accessor-{secret}",
        secret,
        policies=[Link(each, each) for each in policies],
        roles=[Link(each, each) for each in roles],
        **fields,
    )
    return c.TokenSet([row])


def token_delete(secret: str) -> c.TokenDelete:
    return c.TokenDelete([f"accessor-{secret}"])
