"""/v1/agent/host: the machine that the agent runs on (Consul 1.7: agent_endpoint.go, AgentHost)."""

from __future__ import annotations

import asyncio

from apid.core.encoding import to_json
from apid.core.errors import PERMISSION_DENIED, Forbidden
from apid.core.message import Request, Response
from apid.core.routes import Operation, Route
from apid.node import host
from apid.node.context import Node
from apid.node.reading import json_response


class AgentHostEndpoints:
    """Memory, processors, system and disk."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/agent/host",
                {
                    "GET": Operation(
                        self.describe,
                        "Memory, processors, system and disk of the machine",
                        result={"type": "object"},
                        namespaced=False,
                        forwarded=False,
                    )
                },
            )
        ]

    async def describe(self, request: Request) -> Response:
        if not self._node.authorizer(request).operator_read():
            raise Forbidden(PERMISSION_DENIED)
        # A data directory on a network file system may take its time.
        described = await asyncio.to_thread(host.describe, self._node.config.data_dir)
        return json_response(to_json(described))
