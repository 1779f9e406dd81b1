"""What a server tells another agent about a token. Whoever asks presents the token itself, and only agents may ask."""

from __future__ import annotations

import msgspec

from apid.core.access import ACL_NOT_FOUND, RESOLVE_PATH
from apid.core.errors import ACL_DISABLED, Forbidden, HttpError
from apid.core.message import OCTETS, Request, Response
from apid.core.routes import Operation, Route
from apid.node.context import Node


class AclResolveEndpoints:
    """Resolving tokens for agents that do not hold them."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        return [
            Route(
                RESOLVE_PATH,
                {
                    "GET": Operation(
                        self.resolve,
                        "For other agents: the request's token with its roles and policies, as MessagePack",
                        result={"type": "string"},
                        result_type=OCTETS.decode(),
                        responses={401: ACL_DISABLED, 404: "Asked by a client, or not of a server"},
                        bare_statuses=(404,),
                        namespaced=False,
                        forwarded=False,
                    )
                },
                options=False,
            )
        ]

    async def resolve(self, request: Request) -> Response:
        node = self._node
        if not request.internal or not node.config.server_mode:
            return Response(404, plain=True)
        if node.access is None:
            raise HttpError(ACL_DISABLED, 401)
        found = await node.access.resolved(request.token())
        if found is None:
            raise Forbidden(ACL_NOT_FOUND)
        return Response(200, msgspec.msgpack.encode(found), OCTETS)
