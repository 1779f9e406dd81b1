"""What requests may do: from a request's secret to its grant, on a server from the local state.

A warm answer costs a dictionary lookup: grants are remembered until an access control record changes, and whether any
did is only looked up after the state moved on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from apid.core.access import Ticket, Unresolved
from apid.core.errors import Forbidden, HttpError, NoLeader
from apid.core.message import Request
from apid.core.read_options import DISCOVERY_PATHS
from apid.node.agent_tokens import AgentTokens
from apid.node.consensus import Consensus
from apid.node.state import Changes, StateReader
from lictor.acl import Authorizer
from lictor.config.runtime import RuntimeConfig

if TYPE_CHECKING:
    from lictor.state.grants import Grant, LocalGrants

ACL_NOT_FOUND = "ACL not found"
OWN_PATHS = ("/v1/agent/", "/v1/event/list", "/debug/")
"""What each agent answers itself, as itself: here its own master token counts."""


class StateGrants:
    """Grants from a server's own state."""

    def __init__(self, state: StateReader, grants: LocalGrants) -> None:
        self._state = state
        self._grants = grants
        self._applied = -1
        self._generation = -1

    def current(self, secret_id: str) -> Grant | None:
        """What the secret may do as of now; None when there is no such token any more, or no state yet."""
        raft = self._state.raft()
        try:
            if raft.applied_index != self._applied or raft.generation != self._generation:
                if raft.generation != self._generation:
                    self._grants.clear()
                with self._state.read() as txn:
                    self._grants.look(txn)
                # Read before the records: what was applied in between is looked at the next time.
                self._applied, self._generation = raft.applied_index, raft.generation
            grant = self._grants.known(secret_id)
            if grant is None:
                with self._state.read() as txn:
                    grant = self._grants.find(txn, secret_id)
        except NoLeader:
            return None
        if grant is None or grant.expired(time.time_ns()):
            return None
        return grant


class Access:
    """Says for each request what it may do. Made only when access control is on."""

    def __init__(
        self, config: RuntimeConfig, tokens: AgentTokens, state: StateReader, changes: Changes, consensus: Consensus
    ) -> None:
        # Who has no access control does not pay for its modules.
        from lictor.acl.agent import master_authorizer
        from lictor.acl.defaults import ROOTS
        from lictor.state.grants import Grant, LocalGrants

        self.config = config
        self._tokens = tokens
        self._state = state
        self._changes = changes
        self._consensus = consensus
        self._roots = ROOTS
        self._master = Grant(None, master_authorizer(config.node_name))
        self._local = StateGrants(state, LocalGrants(config.datacenter, ROOTS[config.acl.default_policy]))

    def secret_of(self, request: Request) -> str:
        """The secret that the request is made with: its own, that of the agent it was sent to, or the anonymous one."""
        secret = request.token()
        if not secret and not request.hops:
            secret = self._tokens.default
        return secret or "anonymous"

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
            grant = ticket.grant = self._resolve(request, ticket)
        return grant

    def authorizer(self, request: Request) -> Authorizer:
        """What the request may do. Errors: as `grant`."""
        return self.grant(request).authorizer

    def current(self, request: Request) -> Grant | None:
        """What the request would be granted now, without asking anybody; None when its token is unknown."""
        secret = self.secret_of(request)
        if secret in self._roots:
            return None
        if request.path.startswith(OWN_PATHS) and self._tokens.is_agent_master(secret):
            return self._master
        return self._local.current(secret)

    def renewed(self, request: Request) -> Authorizer:
        """What the request may do now, whatever it was granted before: for answers without end. Errors: Forbidden."""
        grant = self.current(request)
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

    def _resolve(self, request: Request, ticket: Ticket) -> Grant:
        if self.secret_of(request) in self._roots:
            raise HttpError("Cannot resolve root ACL")
        own = request.path.startswith(OWN_PATHS)
        if not own and not ticket.confirmed and not self._state.serves_default() and not self._may_be_stale(request):
            # A leader would decide by what is committed: rights of before that are not good enough.
            raise Unresolved(lambda: self._confirm(ticket))
        grant = self.current(request)
        if grant is None:
            raise Forbidden(ACL_NOT_FOUND)
        return grant

    async def _confirm(self, ticket: Ticket) -> None:
        """Makes sure that the local state is as new as the request. Errors: NoLeader."""
        await self._changes.caught_up(await self._consensus.barrier())
        ticket.confirmed = ticket.unspent = True

    def _may_be_stale(self, request: Request) -> bool:
        if request.query and (request.has("stale") or request.has("max_stale")):
            return True
        by_default = self.config.http.discovery_max_stale_ns > 0 and request.path.startswith(DISCOVERY_PATHS)
        return by_default and not (request.has("consistent") or request.has("leader") or request.has("cached"))
