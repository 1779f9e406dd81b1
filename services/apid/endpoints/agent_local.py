"""/v1/agent/ services and checks of this node (Consul 1.7: agent_endpoint.go).

checkd owns them; reads show apid's copy.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from apid.core.content_hash import content_hash
from apid.core.decoding import TEXT, DecodeError, Struct, decode
from apid.core.encoding import to_json
from apid.core.errors import PERMISSION_DENIED, BadRequest, Forbidden, HttpError, NotFound
from apid.core.message import JSON, Answer, Request, Response
from apid.core.parameters import parse_bool
from apid.core.read_options import INDEX_WAIT_FRACTION, parse_wait
from apid.core.routes import Operation, Route
from apid.endpoints import schemas
from apid.endpoints.local_change import make_change
from apid.endpoints.selection import parse_filter, parse_late_filter
from apid.node.context import Node
from apid.node.reading import json_response
from lictor.pb.lictor.v1 import agent_pb2
from lictor.state.gotext import quote as go_quote

PASSING, WARNING, CRITICAL, MAINTENANCE = "passing", "warning", "critical", "maintenance"
NODE_MAINTENANCE = "_node_maintenance"
SERVICE_MAINTENANCE = "_service_maintenance:"
STATUS_CODES = {PASSING: 200, WARNING: 429, CRITICAL: 503, MAINTENANCE: 503}
DEFAULT_HASH_WAIT_NS = 300_000_000_000
MAX_HASH_WAIT_NS = 600_000_000_000
CONTENT_HASH = "ContentHash"
TEXT_PLAIN = b"text/plain"
TTL_UPDATE = Struct("checkUpdate", {"Status": TEXT, "Output": TEXT})


def aggregated_status(checks: list[dict[str, Any]]) -> str:
    """The worst of some checks, maintenance before all."""
    worst = PASSING
    for check in checks:
        check_id, status = check["CheckID"], check["Status"]
        if check_id == NODE_MAINTENANCE or check_id.startswith(SERVICE_MAINTENANCE):
            return MAINTENANCE
        if status == CRITICAL:
            worst = CRITICAL
        elif status == WARNING and worst == PASSING:
            worst = WARNING
    return worst


class AgentLocalEndpoints:
    """Registration, reading, maintenance, TTL updates."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._local = node.local
        self._random = random.Random()

    def routes(self) -> list[Route]:
        def get(pattern: str, handler: Any, summary: str, path: str = "", **more: Any) -> Route:
            operation = Operation(handler, summary, path, forwarded=False, **more)
            return Route(pattern, {"GET": operation})

        def put(pattern: str, handler: Any, summary: str, path: str = "", **more: Any) -> Route:
            operation = Operation(handler, summary, path, forwarded=False, **more)
            return Route(pattern, {"PUT": operation})

        by_id = {"type": "object", "additionalProperties": {"type": "object"}}
        bad = {400: "The definition is wrong; the text says what"}
        health = {404: "Unknown", 429: "Warning", 503: "Critical or in maintenance"}
        routes = [
            get("/v1/agent/services", self.services, "This node's services by ID", query=("filter",), result=by_id),
            get(
                "/v1/agent/service/",
                self.service,
                "One of this node's services; with hash waits for it to change",
                "/v1/agent/service/{service_id}",
                query=("hash", "wait"),
                result={"type": "object"},
                responses={400: "A malformed wait", 404: "No such service"},
            ),
            get("/v1/agent/checks", self.checks, "This node's checks by ID", query=("filter",), result=by_id),
            get(
                "/v1/agent/health/service/id/",
                self.health_by_id,
                "The health of one service of this node",
                "/v1/agent/health/service/id/{service_id}",
                query=("format",),
                result={"type": "object"},
                responses=health,
                json_statuses=tuple(health),
                other_types=("text/plain",),
            ),
            get(
                "/v1/agent/health/service/name/",
                self.health_by_name,
                "The health of all services of this node with a name",
                "/v1/agent/health/service/name/{service}",
                query=("format",),
                result=schemas.array({"type": "object"}),
                responses=health,
                json_statuses=tuple(health),
                other_types=("text/plain",),
            ),
            put(
                "/v1/agent/service/register",
                self.register_service,
                "Register a service with its checks on this node",
                query=("replace-existing-checks",),
                raw_body=True,
                responses=bad,
            ),
            put(
                "/v1/agent/service/deregister/",
                self.deregister_service,
                "Remove a service from this node",
                "/v1/agent/service/deregister/{service_id}",
            ),
            put(
                "/v1/agent/check/register",
                self.register_check,
                "Register a check on this node",
                raw_body=True,
                responses=bad,
            ),
            put(
                "/v1/agent/check/deregister/",
                self.deregister_check,
                "Remove a check from this node",
                "/v1/agent/check/deregister/{check_id}",
            ),
            put(
                "/v1/agent/check/update/",
                self.update_check,
                "Set a TTL check's status and output",
                "/v1/agent/check/update/{check_id}",
                body=TTL_UPDATE,
                responses={400: "Not a status"},
            ),
            put(
                "/v1/agent/maintenance",
                self.node_maintenance,
                "Put this node into maintenance, or take it out",
                query=("enable", "reason"),
                responses={400: "No or a malformed enable"},
            ),
            put(
                "/v1/agent/service/maintenance/",
                self.service_maintenance,
                "Put a service into maintenance, or take it out",
                "/v1/agent/service/maintenance/{service_id}",
                query=("enable", "reason"),
                responses={400: "No or a malformed enable", 404: "No such service"},
            ),
        ]
        for word, status in (("pass", PASSING), ("warn", WARNING), ("fail", CRITICAL)):
            routes.append(
                put(
                    f"/v1/agent/check/{word}/",
                    self._setting(status),
                    f"Set a TTL check to {status}",
                    f"/v1/agent/check/{word}/{{check_id}}",
                    query=("note",),
                )
            )
        return routes

    # --------------------------------------------------------------------------------------------------- reading

    async def services(self, request: Request) -> Response:
        authorizer = self._node.authorizer(request)
        keep = parse_filter(request.get("filter"), "AGENT_SERVICES")
        await self._local.settle()
        found = {
            service_id: _without_hash(service)
            for service_id, service in sorted(self._local.services.items())
            if authorizer.service_read(service["Service"]) and (keep is None or keep(service))
        }
        return json_response(to_json(found))

    async def checks(self, request: Request) -> Response:
        authorizer = self._node.authorizer(request)
        keep = parse_late_filter(request.get("filter"), "CHECKS")
        await self._local.settle()
        found = {
            check_id: check
            for check_id, check in sorted(self._local.checks.items())
            if (
                authorizer.service_read(check["ServiceName"])
                if check["ServiceName"]
                else authorizer.node_read(self._node.config.node_name)
            )
            and (keep is None or keep(check))
        }
        return json_response(to_json(found))

    async def service(self, request: Request) -> Response:
        service_id, known_hash = request.tail, request.get("hash")
        wait_ns, _ = parse_wait(request)
        authorizer = self._node.authorizer(request)
        limit_s = min(wait_ns if wait_ns > 0 else DEFAULT_HASH_WAIT_NS, MAX_HASH_WAIT_NS) / 1e9
        limit_s += self._random.uniform(0, limit_s / INDEX_WAIT_FRACTION)
        deadline_s = asyncio.get_running_loop().time() + limit_s
        await self._local.settle()
        while True:
            changed = self._local.changed()
            found = self._local.services.get(service_id)
            if found is None:
                raise NotFound(f"unknown service ID: {service_id}")
            if not authorizer.service_read(found["Service"]):
                raise Forbidden(PERMISSION_DENIED)
            shown_hash = content_hash(found)
            expired = asyncio.get_running_loop().time() >= deadline_s
            if not known_hash or known_hash != shown_hash or expired:
                headers = [(b"X-Consul-Contenthash", shown_hash.encode())]
                return Response(200, to_json({**found, CONTENT_HASH: shown_hash}), JSON, headers)
            try:
                async with asyncio.timeout_at(deadline_s):
                    await changed.wait()
                authorizer = self._node.authorizer_now(request)
            except TimeoutError:
                continue

    async def health_by_id(self, request: Request) -> Response:
        service_id = request.tail
        if not service_id:
            raise HttpError("Bad request: Missing serviceID")
        authorizer = self._node.authorizer(request)
        await self._local.settle()
        service = self._local.services.get(service_id)
        if service is None:
            reason = f"ServiceId {service_id} not found"
            nothing = {"AggregatedStatus": CRITICAL, "Service": None, "Checks": None}
            body = to_json(reason) if _wants_text(request) else to_json(nothing)
            return Response(404, body, JSON, [(b"X-Consul-Reason", reason.encode())])
        if not authorizer.service_read(service["Service"]):
            raise Forbidden(PERMISSION_DENIED)
        described = self._health(service)
        return _health_answer(request, described["AggregatedStatus"], described)

    async def health_by_name(self, request: Request) -> Response:
        name = request.tail
        if not name:
            raise HttpError("Bad request: Missing service Name")
        if not self._node.authorizer(request).service_read(name):
            raise Forbidden(PERMISSION_DENIED)
        await self._local.settle()
        found = [self._health(service) for service in self._local.services.values() if service["Service"] == name]
        if not found:
            return _health_answer(request, f"ServiceName {name} Not Found", [], 404)
        worst = max((item["AggregatedStatus"] for item in found), key=lambda status: STATUS_CODES[status])
        return _health_answer(request, worst, found)

    def _health(self, service: dict[str, Any]) -> dict[str, Any]:
        checks = [
            check
            for check in self._local.checks.values()
            if not check["ServiceID"] or check["ServiceID"] == service["ID"]
        ]
        return {
            "AggregatedStatus": aggregated_status(checks),
            "Service": _without_hash(service),
            "Checks": [_as_api_check(check) for check in checks],
        }

    # -------------------------------------------------------------------------------------------------- changing

    async def register_service(self, request: Request) -> Response:
        message = agent_pb2.RegisterServiceRequest(
            definition_json=request.body,
            token=request.token(),
            replace_existing_checks=request.has("replace-existing-checks")
            and request.get("replace-existing-checks") not in ("false", "0"),
        )
        await make_change(self._node, request, "RegisterService", message)
        return Response(200)

    async def deregister_service(self, request: Request) -> Response:
        message = agent_pb2.DeregisterServiceRequest(service_id=request.tail, token=request.token())
        await make_change(self._node, request, "DeregisterService", message)
        return Response(200)

    async def register_check(self, request: Request) -> Response:
        message = agent_pb2.RegisterCheckRequest(definition_json=request.body, token=request.token())
        await make_change(self._node, request, "RegisterCheck", message)
        return Response(200)

    async def deregister_check(self, request: Request) -> Response:
        message = agent_pb2.DeregisterCheckRequest(check_id=request.tail, token=request.token())
        await make_change(self._node, request, "DeregisterCheck", message)
        return Response(200)

    def _setting(self, status: str) -> Any:
        def handler(request: Request) -> Answer:
            return self._set_ttl(request, status, request.get("note"))

        return handler

    async def update_check(self, request: Request) -> Response:
        try:
            fields = decode(TTL_UPDATE, request.body)
        except DecodeError as error:
            raise BadRequest(f"Request decode failed: {error}") from None
        status = fields.get("Status", "")
        if status not in (PASSING, WARNING, CRITICAL):
            raise BadRequest(f"Invalid check status: '{status}'")
        return await self._set_ttl(request, status, fields.get("Output", ""))

    async def _set_ttl(self, request: Request, status: str, output: str) -> Response:
        message = agent_pb2.UpdateTtlRequest(check_id=request.tail, status=status, output=output, token=request.token())
        await make_change(self._node, request, "UpdateTtl", message)
        return Response(200)

    async def node_maintenance(self, request: Request) -> Response:
        return await self._set_maintenance(request, "")

    async def service_maintenance(self, request: Request) -> Response:
        if not request.tail:
            raise BadRequest("Missing service ID")
        return await self._set_maintenance(request, request.tail)

    async def _set_maintenance(self, request: Request, service_id: str) -> Response:
        if not request.has("enable"):
            raise BadRequest("Missing value for enable")
        text = request.get("enable")
        try:
            enable = parse_bool(text)
        except ValueError:
            raise BadRequest(f"Invalid value for enable: {go_quote(text)}") from None
        message = agent_pb2.SetMaintenanceRequest(
            service_id=service_id, enable=enable, reason=request.get("reason"), token=request.token()
        )
        await make_change(self._node, request, "SetMaintenance", message)
        return Response(200)


# The health endpoints show checks as Consul's Go client declares them: no type, an empty definition in full.
_EMPTY_DEFINITION = {
    "Interval": "0s",
    "Timeout": "0s",
    "DeregisterCriticalServiceAfter": "0s",
    "HTTP": "",
    "Header": None,
    "Method": "",
    "Body": "",
    "TLSSkipVerify": False,
    "TCP": "",
}


def _as_api_check(check: dict[str, Any]) -> dict[str, Any]:
    return check | {"ServiceTags": check["ServiceTags"] or None, "Type": "", "Definition": _EMPTY_DEFINITION}


def _without_hash(service: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in service.items() if name != CONTENT_HASH}


def _wants_text(request: Request) -> bool:
    if request.header(b"accept").startswith("text/plain"):
        return True
    return request.get("format") == "text"


def _health_answer(request: Request, status: str, described: Any, code: int | None = None) -> Response:
    headers = [(b"X-Consul-Reason", status.encode("latin-1", "replace"))]
    code = STATUS_CODES[status] if code is None else code
    if _wants_text(request):
        return Response(code, status.encode(), TEXT_PLAIN, headers)
    return Response(code, to_json(described), JSON, headers)
