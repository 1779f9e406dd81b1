"""/v1/acl/, and what it answers while access control is off (Consul 1.7: acl_endpoint.go, checkACLDisabled)."""

from __future__ import annotations

from apid.core.errors import ACL_DISABLED, HttpError
from apid.core.message import Request, Response
from apid.core.routes import Operation, Route
from apid.node.context import Node

# Pattern, methods, the documented path.
TABLE: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("/v1/acl/bootstrap", ("PUT",), ""),
    ("/v1/acl/create", ("PUT",), ""),
    ("/v1/acl/update", ("PUT",), ""),
    ("/v1/acl/destroy/", ("PUT",), "{id}"),
    ("/v1/acl/info/", ("GET",), "{id}"),
    ("/v1/acl/clone/", ("PUT",), "{id}"),
    ("/v1/acl/list", ("GET",), ""),
    ("/v1/acl/login", ("POST",), ""),
    ("/v1/acl/logout", ("POST",), ""),
    ("/v1/acl/replication", ("GET",), ""),
    ("/v1/acl/policies", ("GET",), ""),
    ("/v1/acl/policy", ("PUT",), ""),
    ("/v1/acl/policy/", ("GET", "PUT", "DELETE"), "{id}"),
    ("/v1/acl/roles", ("GET",), ""),
    ("/v1/acl/role", ("PUT",), ""),
    ("/v1/acl/role/name/", ("GET",), "{name}"),
    ("/v1/acl/role/", ("GET", "PUT", "DELETE"), "{id}"),
    ("/v1/acl/binding-rules", ("GET",), ""),
    ("/v1/acl/binding-rule", ("PUT",), ""),
    ("/v1/acl/binding-rule/", ("GET", "PUT", "DELETE"), "{id}"),
    ("/v1/acl/auth-methods", ("GET",), ""),
    ("/v1/acl/auth-method", ("PUT",), ""),
    ("/v1/acl/auth-method/", ("GET", "PUT", "DELETE"), "{name}"),
    ("/v1/acl/rules/translate", ("POST",), ""),
    ("/v1/acl/rules/translate/", ("GET",), "{accessor_id}"),
    ("/v1/acl/tokens", ("GET",), ""),
    ("/v1/acl/token", ("PUT",), ""),
    ("/v1/acl/token/self", ("GET",), ""),
    ("/v1/acl/token/", ("GET", "PUT", "DELETE"), "{accessor_id}"),
    ("/v1/internal/acl/authorize", ("POST",), ""),
)


class AclEndpoints:
    """The endpoints of access control; while it is off, what little there is of them, without loading the rest."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        if self._node.config.acl.enabled:
            from apid.endpoints.acl.table import acl_routes

            return acl_routes(self._node)
        return [
            Route(
                pattern,
                {
                    method: Operation(
                        self.refuse,
                        "Access control is off",
                        pattern + part if part else "",
                        responses={401: ACL_DISABLED},
                        namespaced=False,
                        forwarded=False,
                    )
                    for method in methods
                },
            )
            for pattern, methods, part in TABLE
        ]

    def refuse(self, request: Request) -> Response:
        raise HttpError(ACL_DISABLED, 401)
