"""All routes of the API, gathered."""

from __future__ import annotations

from apid.core.routes import Route
from apid.endpoints.access_control import AclEndpoints
from apid.endpoints.acl_resolve import AclResolveEndpoints
from apid.endpoints.agent_cluster import AgentClusterEndpoints
from apid.endpoints.agent_history import AgentHistoryEndpoints
from apid.endpoints.agent_host import AgentHostEndpoints
from apid.endpoints.agent_local import AgentLocalEndpoints
from apid.endpoints.agent_metrics import AgentMetricsEndpoints
from apid.endpoints.agent_monitor import AgentMonitorEndpoints
from apid.endpoints.agent_self import AgentSelfEndpoints
from apid.endpoints.agent_tokens import AgentTokenEndpoints
from apid.endpoints.catalog import CatalogEndpoints
from apid.endpoints.config_entries import ConfigEntryEndpoints
from apid.endpoints.connect_agent import ConnectAgentEndpoints
from apid.endpoints.coordinate import CoordinateEndpoints
from apid.endpoints.debug_pprof import DebugPprofEndpoints
from apid.endpoints.discovery_chain import DiscoveryChainEndpoints
from apid.endpoints.event import EventEndpoints
from apid.endpoints.health import HealthEndpoints
from apid.endpoints.intentions import IntentionEndpoints
from apid.endpoints.internal_ui import InternalUiEndpoints
from apid.endpoints.keyring import KeyringEndpoints
from apid.endpoints.kv import KvEndpoints
from apid.endpoints.operator import OperatorEndpoints
from apid.endpoints.prometheus import PrometheusEndpoints
from apid.endpoints.query import QueryEndpoints
from apid.endpoints.replication import ReplicationEndpoints
from apid.endpoints.root import RootEndpoints
from apid.endpoints.session import SessionEndpoints
from apid.endpoints.snapshot import SnapshotEndpoints
from apid.endpoints.status import StatusEndpoints
from apid.endpoints.txn import TxnEndpoints
from apid.endpoints.watch import WatchEndpoints
from apid.node.context import Node

AREAS = (
    RootEndpoints,
    StatusEndpoints,
    KvEndpoints,
    CatalogEndpoints,
    HealthEndpoints,
    SessionEndpoints,
    TxnEndpoints,
    AgentSelfEndpoints,
    AgentLocalEndpoints,
    AgentClusterEndpoints,
    AgentMetricsEndpoints,
    AgentHostEndpoints,
    AgentMonitorEndpoints,
    AgentHistoryEndpoints,
    AgentTokenEndpoints,
    DebugPprofEndpoints,
    EventEndpoints,
    CoordinateEndpoints,
    OperatorEndpoints,
    KeyringEndpoints,
    SnapshotEndpoints,
    QueryEndpoints,
    InternalUiEndpoints,
    AclEndpoints,
    AclResolveEndpoints,
    ConfigEntryEndpoints,
    IntentionEndpoints,
    ConnectAgentEndpoints,
    DiscoveryChainEndpoints,
    ReplicationEndpoints,
    WatchEndpoints,
    PrometheusEndpoints,
)


def all_routes(node: Node) -> list[Route]:
    """The routes of every area, on this node."""
    return [route for area in AREAS for route in area(node).routes()]
