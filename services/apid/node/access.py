"""What requests may do: from a request's secret to its grant.

Servers decide by their own state; client agents, and servers of secondary datacenters without token replication, ask a
server and remember what it said. A handler that asks before that is known is interrupted (`Unresolved`) and run again.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from apid.core.access import ACL_NOT_FOUND, Ticket, Unresolved
from apid.core.errors import Forbidden, HttpError, RootDenied
from apid.core.message import Request, Response
from apid.core.read_options import DISCOVERY_PATHS
from apid.node.agent_tokens import AgentTokens
from apid.node.consensus import Consensus
from apid.node.state import Changes, StateReader, Watcher
from lictor import telemetry
from lictor.acl import ALLOW_ALL, Authorizer
from lictor.config.runtime import RuntimeConfig
from lictor.state import topics

if TYPE_CHECKING:
    from apid.core.remembered import Look, Resolved
    from apid.node.local_grants import StateGrants
    from apid.node.remote_grants import RemoteGrants
    from lictor.state.grants import Grant

_RESOLUTIONS = telemetry.sample("acl.ResolveToken")
_HITS, _MISSES = telemetry.counter("acl.token.cache_hit"), telemetry.counter("acl.token.cache_miss")

ANONYMOUS = "anonymous"
OWN_PATHS = ("/v1/agent/", "/v1/event/list", "/debug/")
"""What each agent answers itself, as itself: here its own master token counts."""
RIGHTS_TOPICS = (topics.ACL_TOKENS, topics.ACL_POLICIES, topics.ACL_ROLES)
"""What may change what a token may do."""


class Servers(Protocol):
    """The way to servers (`Forwarder`)."""

    async def send(
        self, request: Request, datacenter: str = "", patient: bool = True, own: bool = False
    ) -> Response: ...


class Access:
    """Says for each request what it may do. Made only when access control is on."""

    def __init__(
        self,
        config: RuntimeConfig,
        tokens: AgentTokens,
        state: StateReader,
        changes: Changes,
        consensus: Consensus,
        servers: Servers,
    ) -> None:
        # Who has no access control does not pay for its modules.
        from apid.core.remembered import RememberedTokens
        from apid.node.local_grants import StateGrants
        from apid.node.remote_grants import RemoteGrants
        from lictor.acl.agent import master_authorizer
        from lictor.acl.defaults import ROOTS
        from lictor.acl.resolve import authorizer_for
        from lictor.state.grants import Grant, LocalGrants

        acl = config.acl
        self.config = config
        self._tokens = tokens
        self._state = state
        self._changes = changes
        self._consensus = consensus
        self._servers = servers
        self._roots = ROOTS
        self._unguarded = Grant(None, ALLOW_ALL)
        self._master = Grant(None, master_authorizer(config.node_name))
        self._wrap = _wrapper(config)
        default = ROOTS[acl.default_policy]
        self._guarded: dict[Ticket, Watcher] = {}
        self._local: StateGrants | None = None
        self._remote: RemoteGrants | None = None
        self._has_tokens = config.server_mode and (_is_primary(config) or acl.enable_token_replication)
        known = RememberedTokens(
            config.datacenter, acl.token_ttl_ns / 1e9, acl.policy_ttl_ns / 1e9, acl.role_ttl_ns / 1e9
        )
        if not config.server_mode:

            def compiled(look: Look) -> Grant | None:
                return Grant(look.token, self._wrap(authorizer_for(look.policies, default)))

            self._remote = RemoteGrants(acl, known, self._ask_server, known.look, compiled)
            return
        local = self._local = StateGrants(state, LocalGrants(config.datacenter, default, self._wrap))
        if not _is_primary(config):

            def by_state(look: Look) -> Grant | None:
                secret_id = look.token.secret_id if look.token is not None else ""
                return local.of_look(look, lambda: known.look(secret_id, time.monotonic()).policies)

            self._remote = RemoteGrants(acl, known, self._ask_primary, known.token, by_state)

    def start(self) -> None:
        """Follow the changes of access control records."""
        self._changes.call(RIGHTS_TOPICS, self.look_again)

    async def close(self) -> None:
        if self._remote is not None:
            await self._remote.close()

    def secret_of(self, request: Request) -> str:
        """The secret that the request is made with: its own, that of the agent it was sent to, or the anonymous one."""
        secret = request.token()
        if not secret and not request.hops:
            secret = self._tokens.default
        return secret or ANONYMOUS

    def ticket(self, request: Request) -> Ticket:
        """What the request's rights are kept on."""
        ticket = request.ticket
        if ticket is None:
            ticket = request.ticket = Ticket(lambda: self.current(request))
        return ticket

    def grant(self, request: Request) -> Grant:
        """What the request may do. Errors: HttpError; Unresolved when somebody has to be asked first."""
        ticket = self.ticket(request)
        grant = ticket.grant
        if grant is None:
            started_s = time.perf_counter()
            grant = ticket.grant = self._resolve(request, ticket)
            _RESOLUTIONS.since(started_s)
        return grant

    def authorizer(self, request: Request) -> Authorizer:
        """What the request may do. Errors: as `grant`."""
        return self.grant(request).authorizer

    def current(self, request: Request) -> Grant | None:
        """What the request would be granted now, without asking anybody; None when that is not known, or nothing."""
        return self._found(request, self.secret_of(request))[1]

    def renewed(self, request: Request) -> Authorizer:
        """What the request may do now, whatever it was granted before: for answers without end. Errors: Forbidden."""
        secret = self.secret_of(request)
        known, grant = self._found(request, secret)
        if not known and self._remote is not None:
            grant = _usable(self._remote.latest(secret))
        if grant is None:
            raise Forbidden(ACL_NOT_FOUND)
        return grant.authorizer

    def while_granted(self, request: Request, fresh: Callable[[], bool]) -> Callable[[], bool]:
        """The test of a kept answer, which is only good while the request would be granted the same."""
        ticket = request.ticket
        if ticket is None or ticket.grant is None:
            return fresh
        holds = ticket.holds
        return lambda: holds() and fresh()

    def guard(self, ticket: Ticket, watcher: Watcher) -> None:
        """Wake the watcher when the request's rights become others, until `unguard`."""
        if not ticket.remote:
            self._guarded[ticket] = watcher

    def unguard(self, ticket: Ticket) -> None:
        self._guarded.pop(ticket, None)

    def look_again(self) -> None:
        """Somebody's rights may be others now: wake whose are."""
        for ticket, watcher in self._guarded.items():
            if not ticket.holds():
                watcher.wake()

    async def resolved(self, secret_id: str) -> Resolved | None:
        """For another agent: the token with what decides its rights; None when there is none. Errors: HttpError."""
        local, remote = self._local, self._remote
        if local is None:
            raise HttpError("only servers know tokens")
        if self._knows(local):
            found = local.resolved(secret_id)
            if found is None and not self._state.serves_default():
                # Whoever asks remembers the answer: what was just made should be known.
                try:
                    await self._changes.caught_up(await self._consensus.barrier())
                except HttpError:
                    return None
                found = local.resolved(secret_id)
            return found
        assert remote is not None
        answer = await remote.fetch(secret_id)
        return None if answer is None else local.localized(answer)

    def _resolve(self, request: Request, ticket: Ticket) -> Grant:
        own = request.path.startswith(OWN_PATHS)
        if own and not self.config.acl.enforce_version_8:
            return self._unguarded
        secret = self.secret_of(request)
        if secret in self._roots:
            raise RootDenied
        if ticket.refused:
            raise Forbidden(ACL_NOT_FOUND)
        if self._local is not None and not own and not ticket.confirmed and not self._is_current(request):
            # A leader would decide by what is committed: rights of before that are not good enough.
            raise Unresolved(lambda: self._confirm(ticket))
        known, grant = self._found(request, secret)
        if not known:
            ticket.remote = True
            raise Unresolved(lambda: self._ask(ticket, secret))
        if grant is None:
            raise Forbidden(ACL_NOT_FOUND)
        return grant

    def _found(self, request: Request, secret: str) -> tuple[bool, Grant | None]:
        """Whether it is known what a request with this secret may do, and what that is."""
        if secret in self._roots:
            return True, None
        if request.path.startswith(OWN_PATHS):
            if not self.config.acl.enforce_version_8:
                return True, self._unguarded
            if self._tokens.is_agent_master(secret):
                return True, self._master
        local, remote = self._local, self._remote
        if local is not None and self._knows(local):
            return True, _usable(local.of_secret(secret))
        assert remote is not None
        if remote.disabled_until_s and time.monotonic() < remote.disabled_until_s:
            return True, self._unguarded
        known, grant = remote.known(secret)
        (_HITS if known else _MISSES).increment()
        return known, _usable(grant)

    def _knows(self, local: StateGrants) -> bool:
        """Whether this server's own state says which tokens there are."""
        return self._remote is None or (self._has_tokens and local.knows_tokens())

    async def _ask(self, ticket: Ticket, secret: str) -> None:
        """Errors: HttpError."""
        assert self._remote is not None
        started_s = time.perf_counter()
        ticket.grant = _usable(await self._remote.resolve(secret))
        _RESOLUTIONS.since(started_s)
        ticket.refused = ticket.grant is None

    def _ask_server(self, request: Request) -> Awaitable[Response]:
        return self._servers.send(request, patient=False, own=True)

    def _ask_primary(self, request: Request) -> Awaitable[Response]:
        return self._servers.send(request, self.config.primary_datacenter, patient=False, own=True)

    async def _confirm(self, ticket: Ticket) -> None:
        """Makes sure that the local state is as new as the request. Errors: NoLeader."""
        await self._changes.caught_up(await self._consensus.barrier())
        ticket.confirm()

    def _is_current(self, request: Request) -> bool:
        """Whether the local state is good enough for this request as it is."""
        if self._state.serves_default():
            return True
        if request.query and (request.has("stale") or request.has("max_stale")):
            return True
        by_default = self.config.http.discovery_max_stale_ns > 0 and request.path.startswith(DISCOVERY_PATHS)
        return by_default and not (request.has("consistent") or request.has("leader") or request.has("cached"))


def _is_primary(config: RuntimeConfig) -> bool:
    return config.primary_datacenter in ("", config.datacenter)


def _usable(grant: Grant | None) -> Grant | None:
    return None if grant is None or grant.expired(time.time_ns()) else grant


def _wrapper(config: RuntimeConfig) -> Callable[[Authorizer], Authorizer]:
    if config.acl.enforce_version_8:
        return lambda authorizer: authorizer
    from lictor.acl.version8 import unguarded

    return unguarded
