"""Everything an endpoint may ask, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apid.core.message import Request
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

if TYPE_CHECKING:
    from lictor.agent.link import SupervisorLink


@dataclass(slots=True)
class Node:
    """One apid's surroundings. `config` is replaced on reload."""

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

    def authorizer(self, request: Request) -> Authorizer:
        """What the request's token may do."""
        return ALLOW_ALL
