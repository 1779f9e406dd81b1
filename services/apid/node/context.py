"""Everything an endpoint may ask, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apid.core.message import Request
from apid.node.access import Access
from apid.node.agent_tokens import AgentTokens
from apid.node.consensus import Consensus
from apid.node.distances import Distances
from apid.node.events import Events
from apid.node.forwarding import Forwarder
from apid.node.gossip import Gossip
from apid.node.local import LocalAgent
from apid.node.metrics import AgentMetrics
from apid.node.reading import Reads
from apid.node.state import Changes, StateReader
from lictor.acl import ALLOW_ALL, Authorizer
from lictor.config.runtime import RuntimeConfig
from lictor.state.rows import ACLToken

if TYPE_CHECKING:
    from apid.node.encryption import Encryption
    from lictor.agent.link import SupervisorLink


@dataclass(slots=True)
class Node:
    """One apid's surroundings. `config` is replaced on reload; `access` is None while access control is off,
    `encryption` where TLS is not configured."""

    config: RuntimeConfig
    state: StateReader
    changes: Changes
    consensus: Consensus
    reads: Reads
    gossip: Gossip
    local: LocalAgent
    forwarder: Forwarder
    distances: Distances
    events: Events
    metrics: AgentMetrics
    link: SupervisorLink | None
    tokens: AgentTokens
    access: Access | None = None
    encryption: Encryption | None = None

    def authorizer(self, request: Request) -> Authorizer:
        """What the request's token may do; ask before anything is done for the request.

        Errors: HttpError when the token is unknown; Unresolved, which the dispatcher takes care of.
        """
        access = self.access
        return ALLOW_ALL if access is None else access.authorizer(request)

    def authorizer_now(self, request: Request) -> Authorizer:
        """What the request's token may do by now: for answers that go on and on. Errors: HttpError."""
        access = self.access
        return ALLOW_ALL if access is None else access.renewed(request)

    def identity(self, request: Request) -> ACLToken | None:
        """The token that the request is made with, where one stands behind it. Errors: as `authorizer`."""
        access = self.access
        return None if access is None else access.grant(request).token
