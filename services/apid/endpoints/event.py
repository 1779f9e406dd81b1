"""/v1/event/: user events (Consul 1.7: event_endpoint.go)."""

from __future__ import annotations

import asyncio
import base64
import random
import uuid
from typing import Any

from apid.core.encoding import to_json
from apid.core.errors import (
    CALL_PREFIX,
    PERMISSION_DENIED,
    AnyServerError,
    BadRequest,
    EndpointError,
    Forbidden,
    HttpError,
    RootDenied,
)
from apid.core.message import JSON, Request, Response
from apid.core.read_options import INDEX_WAIT_FRACTION, parse_wait, wait_limit_ns
from apid.core.routes import Operation, Route
from apid.endpoints import schemas
from apid.node.context import Node
from apid.node.events import EventRefused
from apid.node.reading import json_response
from lictor import regexp
from lictor.user_event import UserEvent

EVENT_SCHEMA = {"type": "object"}


class EventEndpoints:
    """Fires events and shows recent ones."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._random = random.Random()

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/event/fire/",
                {
                    "PUT": Operation(
                        self.fire,
                        "Fire an event; the body is its payload",
                        "/v1/event/fire/{name}",
                        ("dc", "node", "service", "tag"),
                        raw_body=True,
                        result=EVENT_SCHEMA,
                        responses={400: "No name"},
                        namespaced=False,
                        forwarded=False,
                    )
                },
            ),
            Route(
                "/v1/event/list",
                {
                    "GET": Operation(
                        self.list_recent,
                        "The last 256 events that this agent heard, oldest first",
                        query=("name", "index", "wait"),
                        result=schemas.array(EVENT_SCHEMA),
                        responses={400: "A malformed index or wait"},
                        namespaced=False,
                        forwarded=False,
                    )
                },
            ),
        ]

    async def fire(self, request: Request) -> Response:
        node = self._node
        if not request.tail:
            raise BadRequest("Missing name")
        node_filter, service_filter, tag_filter = request.get("node"), request.get("service"), request.get("tag")
        if tag_filter and not service_filter:
            raise EndpointError("Cannot provide tag filter without service filter")
        for what, pattern in (("node", node_filter), ("service", service_filter), ("tag", tag_filter)):
            if pattern and (problem := regexp.problem_of(pattern)):
                raise EndpointError(f"Invalid {what} filter: {problem}")
        datacenter = request.get("dc")
        if datacenter and datacenter != node.config.datacenter:
            return await node.forwarder.send(request, datacenter)
        # A server's own words; a client agent repeats what its server says.
        far = "" if node.config.server_mode else CALL_PREFIX
        try:
            allowed = node.authorizer(request).event_write(request.tail)
        except (Forbidden, RootDenied) as refused:
            # Unlike a denied one, Consul shows an unknown token as a failure of its own.
            raise EndpointError(far + str(refused)) from None
        if not allowed:
            # Whichever server was asked says so itself, and a client agent leaves out that one was.
            raise HttpError(PERMISSION_DENIED, Forbidden.status)
        event = UserEvent(
            str(uuid.uuid4()), request.tail, request.body or None, node_filter, service_filter, tag_filter
        )
        try:
            await node.events.fire(event)
        except EventRefused as refusal:
            reason = f'error broadcasting event to segment "": {refusal}'
            raise AnyServerError(f"{far}1 error occurred:\n\t* {reason}\n\n") from None
        return json_response(to_json(event_dict(event)))

    async def list_recent(self, request: Request) -> Response:
        node = self._node
        wait_ns, min_index = parse_wait(request)
        name = request.get("name")
        authorizer = node.authorizer(request)
        config = node.config
        limit_s = wait_limit_ns(wait_ns, config.default_query_time_ns, config.max_query_time_ns) / 1e9
        limit_s += self._random.uniform(0, limit_s / INDEX_WAIT_FRACTION)
        deadline_s = asyncio.get_running_loop().time() + limit_s
        while True:
            changed = node.events.changed()
            events = [event for event in node.events.recent(name) if authorizer.event_read(event.name)]
            index = events[-1].index() if events else 1
            if not min_index or index != min_index:
                break
            try:
                async with asyncio.timeout_at(deadline_s):
                    await changed.wait()
                authorizer = node.authorizer_now(request)
            except TimeoutError:
                break
        body = to_json([event_dict(event) for event in events])
        return Response(200, body, JSON, [(b"X-Consul-Index", b"%d" % index)])


def event_dict(event: UserEvent) -> dict[str, Any]:
    """An event as the HTTP API shows it."""
    return {
        "ID": event.id,
        "Name": event.name,
        "Payload": None if event.payload is None else base64.b64encode(event.payload).decode(),
        "NodeFilter": event.node_filter,
        "ServiceFilter": event.service_filter,
        "TagFilter": event.tag_filter,
        "Version": event.version,
        "LTime": event.lamport_time,
    }
