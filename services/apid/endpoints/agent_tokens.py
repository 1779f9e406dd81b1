"""/v1/agent/token/: the tokens that the agent itself acts with (Consul 1.7: agent_endpoint.go, AgentToken)."""

from __future__ import annotations

import logging

from msgspec.structs import replace

from apid.core.decoding import TEXT, DecodeError, Struct, decode
from apid.core.errors import ACL_DISABLED, PERMISSION_DENIED, BadRequest, Forbidden, HttpError, NotFound
from apid.core.message import Request, Response
from apid.core.routes import Operation, Route
from apid.node.context import Node
from lictor.agent.link import LinkError
from lictor.state.gotext import quote as go_quote

KINDS = {
    "default": "default",
    "agent": "agent",
    "agent_master": "agent_master",
    "replication": "replication",
    "acl_token": "default",
    "acl_agent_token": "agent",
    "acl_agent_master_token": "agent_master",
    "acl_replication_token": "replication",
}
BODY = Struct("api.AgentToken", {"Token": TEXT})
MAX_TOKEN_BYTES = 8192

log = logging.getLogger("agent")


class AgentTokenEndpoints:
    """Setting them; the supervisor keeps them and tells the other daemons."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/agent/token/",
                {
                    "PUT": Operation(
                        self.set,
                        "Set one of the agent's own tokens",
                        "/v1/agent/token/{kind}",
                        body=BODY,
                        responses={400: "A malformed body", 401: ACL_DISABLED, 404: "No such token"},
                        namespaced=False,
                        forwarded=False,
                    )
                },
            )
        ]

    async def set(self, request: Request) -> Response:
        node = self._node
        if node.access is None:
            raise HttpError(ACL_DISABLED, 401)
        if not node.authorizer(request).agent_write(node.config.node_name):
            raise Forbidden(PERMISSION_DENIED)
        try:
            token = decode(BODY, request.body).get("Token", "")
        except DecodeError as error:
            raise BadRequest(f"Request decode failed: {error}") from None
        kind = KINDS.get(request.tail)
        if kind is None:
            raise NotFound(f"Token {go_quote(request.tail)} is unknown")
        if len(token.encode("utf-8", "surrogatepass")) > MAX_TOKEN_BYTES:
            raise BadRequest(f"A token may have {MAX_TOKEN_BYTES} bytes")
        if node.link is None:
            node.tokens.set(replace(node.config.acl.tokens, **{kind: token}))
        else:
            try:
                await node.link.ask("token", kind=kind, token=token)
            except LinkError as error:
                raise HttpError(str(error)) from None
        log.info("Updated agent's ACL token: token=%s", request.tail)
        return Response(200)
