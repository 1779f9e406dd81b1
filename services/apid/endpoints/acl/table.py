"""All routes of access control, gathered. Loaded where it is on."""

from __future__ import annotations

from apid.core.routes import Route
from apid.endpoints.acl.auth_methods import AuthMethodEndpoints
from apid.endpoints.acl.authorization import AuthorizationEndpoints
from apid.endpoints.acl.binding_rules import BindingRuleEndpoints
from apid.endpoints.acl.bootstrap import BootstrapEndpoints
from apid.endpoints.acl.legacy import LegacyEndpoints
from apid.endpoints.acl.login import LoginEndpoints
from apid.endpoints.acl.policies import PolicyEndpoints
from apid.endpoints.acl.replication import ReplicationEndpoints
from apid.endpoints.acl.roles import RoleEndpoints
from apid.endpoints.acl.tokens import TokenEndpoints
from apid.endpoints.acl.translation import TranslationEndpoints
from apid.node.context import Node

AREAS = (
    BootstrapEndpoints,
    LegacyEndpoints,
    LoginEndpoints,
    ReplicationEndpoints,
    PolicyEndpoints,
    RoleEndpoints,
    BindingRuleEndpoints,
    AuthMethodEndpoints,
    TranslationEndpoints,
    TokenEndpoints,
    AuthorizationEndpoints,
)


def acl_routes(node: Node) -> list[Route]:
    return [route for area in AREAS for route in area(node).routes()]
