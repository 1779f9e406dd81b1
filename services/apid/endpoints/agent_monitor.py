"""/v1/agent/monitor: the agent's log lines as they are written (Consul 1.7: agent_endpoint.go, AgentMonitor)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from apid.core.errors import PERMISSION_DENIED, Forbidden, HttpError, PrefixedBadRequest
from apid.core.message import Request, Response
from apid.core.routes import Operation, Route
from apid.node.context import Node
from lictor.agent.link import LinkError
from lictor.agent.monitor import LogStream

DEFAULT_LEVEL = "INFO"
MAX_STREAMS = 64


class AgentMonitorEndpoints:
    """Streams of log lines, of all the agent's processes."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._streams = 0

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/agent/monitor",
                {
                    "GET": Operation(
                        self.monitor,
                        "The agent's log as it is written, also below the level it logs at; ends with the connection",
                        query=("loglevel", "logjson"),
                        result={"type": "string"},
                        result_type="text/plain",
                        responses={400: "An unknown level"},
                        namespaced=False,
                        forwarded=False,
                    )
                },
            )
        ]

    async def monitor(self, request: Request) -> Response:
        node = self._node
        if not node.authorizer(request).agent_read(node.config.node_name):
            raise Forbidden(PERMISSION_DENIED)
        level = request.get("loglevel") or DEFAULT_LEVEL
        try:
            stream = LogStream(node.link, node.config.data_dir, level, json=request.has("logjson"))
        except ValueError:
            raise PrefixedBadRequest(f"Unknown log level: {level}") from None
        if self._streams >= MAX_STREAMS:
            raise HttpError(f"more than {MAX_STREAMS} clients read the log already", 429)
        return Response(200, stream=self._lines(stream))

    async def _lines(self, stream: LogStream) -> AsyncIterator[bytes]:
        self._streams += 1
        try:
            async with stream:
                async for line in stream:
                    yield line + b"\n"
        except (LinkError, OSError) as error:
            yield f"the log cannot be followed: {error}\n".encode()
        finally:
            self._streams -= 1
