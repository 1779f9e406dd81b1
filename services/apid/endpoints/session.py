"""/v1/session/: sessions, the leases behind locks (Consul 1.7: session_endpoint.go)."""

from __future__ import annotations

import json
import uuid
from typing import Any

from apid.core.decoding import DURATION, TEXT, TEXTS, UINT64, Kind, ListOf, Struct
from apid.core.encoding import to_json
from apid.core.errors import PERMISSION_DENIED, BadRequest, Forbidden, HttpError, NotFound
from apid.core.message import JSON, Answer, Request, Response
from apid.core.read_options import DEFAULT
from apid.core.routes import Operation, Route
from apid.endpoints import schemas
from apid.endpoints.catalog import decoded
from apid.node.consensus import refusal
from apid.node.context import Node
from apid.node.reading import PLAIN, json_response
from lictor.acl import enforced
from lictor.state import commands, prepare, render
from lictor.state.queries import session
from lictor.state.queries.read import QueryError, ReadOptions
from lictor.state.rows import Session
from lictor.state.uuids import check_uuid
from lictor.state.writer import Refused

DEFAULT_CHECKS = ["serfHealth"]
DEFAULT_LOCK_DELAY_NS = 15_000_000_000
# A delay below so many nanoseconds is meant in seconds.
LOCK_DELAY_SECONDS_BELOW = 1000
SECOND_NS = 1_000_000_000
READ_PARAMETERS = ("dc", "index", "wait", "stale", "consistent", "max_stale")


class _LockDelay(Kind):
    """A duration text, or a number of seconds (small) or nanoseconds; anything else is no delay."""

    go_name = "time.Duration"

    def take(self, value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return 0
        delay_ns: int = DURATION.take(value, where)
        return delay_ns * SECOND_NS if delay_ns < LOCK_DELAY_SECONDS_BELOW else delay_ns

    def schema(self) -> dict[str, Any]:
        return DURATION.schema()


class _Checks(Kind):
    """Check IDs; null takes the default away as an empty list does."""

    takes_null = True

    def take(self, value: Any, where: str) -> Any:
        return None if value is None else TEXTS.take(value, where)

    def schema(self) -> dict[str, Any]:
        return TEXTS.schema()


SESSION = Struct(
    "Session",
    {
        "ID": TEXT,
        "Name": TEXT,
        "Node": TEXT,
        "LockDelay": _LockDelay(),
        "Behavior": TEXT,
        "TTL": TEXT,
        "Checks": _Checks(),
        "NodeChecks": _Checks(),
        "ServiceChecks": ListOf(Struct("ServiceCheck", {"ID": TEXT, "Namespace": TEXT}, open_ended=True)),
        "CreateIndex": UINT64,
        "ModifyIndex": UINT64,
    },
    open_ended=True,
)


class SessionEndpoints:
    """Creates, renews, ends and lists sessions."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reads = node.reads

    def routes(self) -> list[Route]:
        sessions = schemas.array(schemas.SESSION)
        bad = {400: "No session named, or a malformed parameter"}
        return [
            Route(
                "/v1/session/create",
                {
                    "PUT": Operation(
                        self.create,
                        "Create a session",
                        query=("dc",),
                        body=SESSION,
                        result=schemas.ID,
                        responses={400: "The body is not what is expected"},
                        forwarded=False,
                    )
                },
            ),
            Route(
                "/v1/session/destroy/",
                {
                    "PUT": Operation(
                        self.destroy,
                        "End a session",
                        "/v1/session/destroy/{session}",
                        ("dc",),
                        result=schemas.TRUE,
                        responses=bad,
                    )
                },
            ),
            Route(
                "/v1/session/renew/",
                {
                    "PUT": Operation(
                        self.renew,
                        "Reset a session's TTL",
                        "/v1/session/renew/{session}",
                        ("dc",),
                        result=sessions,
                        responses={**bad, 404: "No such session"},
                    )
                },
            ),
            Route(
                "/v1/session/info/",
                {
                    "GET": Operation(
                        self.info,
                        "One session",
                        "/v1/session/info/{session}",
                        READ_PARAMETERS,
                        result=sessions,
                        responses=bad,
                        meta_on_error=True,
                    )
                },
            ),
            Route(
                "/v1/session/node/",
                {
                    "GET": Operation(
                        self.of_node,
                        "The sessions of a node",
                        "/v1/session/node/{node}",
                        READ_PARAMETERS,
                        result=sessions,
                        responses=bad,
                        meta_on_error=True,
                    )
                },
            ),
            Route(
                "/v1/session/list",
                {
                    "GET": Operation(
                        self.list_all,
                        "All sessions",
                        query=READ_PARAMETERS,
                        result=sessions,
                        responses=bad,
                        meta_on_error=True,
                    )
                },
            ),
        ]

    async def create(self, request: Request) -> Response:
        node = self._node
        fields = decoded(SESSION, request) if request.body else {}
        owner: str = fields.get("Node", node.config.node_name)
        datacenter = request.get("dc") if request.query else ""
        if not node.config.server_mode or (datacenter and datacenter != node.config.datacenter):
            # The default of the node is this agent's, so it goes along.
            if "Node" not in fields:
                request.body = _with_node(request.body, owner)
            return await node.forwarder.send(request, datacenter)
        if not owner:
            raise HttpError("Must provide Node")
        if not node.authorizer(request).session_write(owner):
            raise Forbidden(PERMISSION_DENIED)
        checks, node_checks = _checks(fields)
        row = Session(
            id=str(uuid.uuid4()),
            name=fields.get("Name", ""),
            node=owner,
            lock_delay_ns=fields.get("LockDelay", DEFAULT_LOCK_DELAY_NS),
            behavior=fields.get("Behavior", "release"),
            ttl=fields.get("TTL", ""),
            node_checks=node_checks,
            service_checks=_service_checks(fields),
            checks=checks,
        )
        try:
            row = prepare.session(row, node.config.session_ttl_min_ns)
        except Refused as refused:
            raise refusal(commands.Failed(refused.text, refused.kind)) from None
        await node.consensus.propose(commands.SessionCreate(row))
        return json_response(to_json({"ID": row.id}))

    async def destroy(self, request: Request) -> Response:
        session_id = _required_id(request)
        node = self._node
        authorizer = node.authorizer(request)
        problem = check_uuid(session_id)
        if enforced(authorizer):
            if problem:
                raise HttpError(f"Session lookup failed: failed session lookup: {problem}")
            found, _, _ = await self._reads.run(lambda txn: session.info(txn, session_id), DEFAULT)
            if not found.value:
                return Response(200, b"true", JSON)
            if not authorizer.session_write(found.value[0].node):
                raise Forbidden(PERMISSION_DENIED)
        if problem:
            raise HttpError(f"failed session lookup: {problem}")
        await node.consensus.propose(commands.SessionDestroy(session_id))
        return Response(200, b"true", JSON)

    async def renew(self, request: Request) -> Response:
        session_id = _required_id(request)
        node = self._node
        options = self._reads.parse(request)
        authorizer = node.authorizer(request)
        try:
            found, _, _ = await self._reads.run(lambda txn: session.info(txn, session_id), options)
        except QueryError as error:
            raise HttpError(error.text) from None
        rows: list[Session] = found.value
        if not rows:
            raise NotFound(f"Session id '{session_id}' not found")
        if not authorizer.session_write(rows[0].node):
            raise Forbidden(PERMISSION_DENIED)
        await node.consensus.call("session.renew", {"id": session_id})
        return json_response(render.sessions(rows))

    def info(self, request: Request) -> Answer:
        options = self._reads.parse(request)
        session_id = _required_id(request)
        return self._reads.answer(
            request,
            lambda txn: session.info(txn, session_id, self._readable(request)),
            _render_sessions,
            PLAIN,
            options,
        )

    def _readable(self, request: Request) -> ReadOptions:
        return ReadOptions(authorizer=self._node.authorizer(request))

    def of_node(self, request: Request) -> Answer:
        options = self._reads.parse(request)
        if not request.tail:
            raise BadRequest("Missing node name")
        return self._reads.answer(
            request,
            lambda txn: session.of_node(txn, request.tail, self._readable(request)),
            _render_sessions,
            PLAIN,
            options,
        )

    def list_all(self, request: Request) -> Answer:
        return self._reads.answer(
            request, lambda txn: session.list_all(txn, self._readable(request)), _render_sessions, PLAIN
        )


def _render_sessions(rows: list[Session]) -> Response:
    return json_response(render.sessions(rows))


def _required_id(request: Request) -> str:
    if not request.tail:
        raise BadRequest("Missing session")
    return request.tail


def _checks(fields: dict[str, Any]) -> tuple[list[str] | None, list[str] | None]:
    """`Checks`, as before Consul 1.7, and `NodeChecks`: an empty list of either kind takes away the other's default."""
    checks: list[str] | None = fields.get("Checks", DEFAULT_CHECKS)
    node_checks: list[str] | None = fields.get("NodeChecks", DEFAULT_CHECKS)
    if not checks:
        return None, []
    if checks == DEFAULT_CHECKS or not node_checks:
        return None, node_checks
    return checks, node_checks


def _service_checks(fields: dict[str, Any]) -> list[dict[str, str]] | None:
    checks = fields.get("ServiceChecks")
    if checks is None:
        return None
    return [
        {"ID": check.get("ID", ""), "Namespace": check.get("Namespace", "")} for check in checks if check is not None
    ]


def _with_node(body: bytes, node: str) -> bytes:
    """The body with the node filled in; it was decoded before, so it is a JSON object or empty."""
    try:
        fields = json.loads(body) if body else {}
    except ValueError as error:
        raise BadRequest(f"Request decode failed: {error}") from None
    if not isinstance(fields, dict):
        fields = {}
    kept = {name: value for name, value in fields.items() if name.lower() != "node"}
    return json.dumps({**kept, "Node": node}).encode()
