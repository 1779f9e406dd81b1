"""/v1/discovery-chain: how traffic to a service finds its instances (Consul 1.7: discovery_chain_endpoint.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apid.core.decoding import ANY_MAP, DecodeError, decode
from apid.core.encoding import to_json
from apid.core.errors import PERMISSION_DENIED, AnyServerError, EndpointError, Forbidden, PrefixedBadRequest
from apid.core.message import Answer, Request, Response, text_response
from apid.core.routes import Operation, Route
from apid.endpoints.connect_ca import CONNECT_OFF
from apid.node.context import Node
from apid.node.reading import CACHED_DISCOVERY, json_response
from lictor.state.config_decoding import DURATION, TEXT, decode_fields
from lictor.state.discovery.compile import Chain, chain_dict
from lictor.state.discovery.customization import Overrides
from lictor.state.queries import discovery, operator
from lictor.state.queries.read import QueryError, Read
from lictor.state.store import ReadTxn
from lictor.state.writer import Refused

PARAMETERS = ("dc", "compile-dc", "index", "wait", "stale", "consistent", "max_stale", "cached")
MESH_GATEWAY_MODES = ("", "none", "local", "remote")
SHAPE = {"OverrideMeshGateway": {"Mode": TEXT}, "OverrideProtocol": TEXT, "OverrideConnectTimeout": DURATION}
CHAIN = {"type": "object", "properties": {"Chain": {"type": "object"}}, "required": ["Chain"]}


class DiscoveryChainEndpoints:
    """Compiles chains, plain or as a proxy wants to see them."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        def operation(summary: str, body: Any = None) -> Operation:
            return Operation(
                self.read,
                summary,
                "/v1/discovery-chain/{service}",
                PARAMETERS,
                body=body,
                result=CHAIN,
                responses={400: "No service named, or a malformed body or parameter"},
                meta_on_error=True,
            )

        return [
            Route(
                "/v1/discovery-chain/",
                {
                    "GET": operation("A service's discovery chain"),
                    "POST": operation("A service's discovery chain with overrides", ANY_MAP),
                },
            )
        ]

    def read(self, request: Request) -> Answer:
        reads = self._node.reads
        options = reads.parse(request)
        service = request.tail
        if not service:
            raise PrefixedBadRequest("Missing chain name")
        overrides = _overrides(request) if request.method == "POST" else None
        if overrides is not None and overrides.mesh_gateway_mode not in MESH_GATEWAY_MODES:
            return text_response(400, "Invalid OverrideMeshGateway.Mode parameter")
        if not self._node.config.connect.enabled:
            return reads.refuse(request, AnyServerError(CONNECT_OFF), CACHED_DISCOVERY)
        if not self._node.authorizer(request).service_read(service):
            raise Forbidden(PERMISSION_DENIED)
        datacenter = request.get("compile-dc") or self._node.config.datacenter

        def chain(txn: ReadTxn) -> Read[Chain]:
            if operator.ca_config(txn).value is None:
                raise QueryError("no cluster ca config setup")
            return discovery.chain(txn, service, datacenter, overrides, self._node.config.datacenter)

        return reads.answer(request, chain, _shown, CACHED_DISCOVERY, options)


def _shown(chain: Chain) -> Response:
    return json_response(to_json({"Chain": chain_dict(chain)}))


def _overrides(request: Request) -> Overrides:
    """The body of a POST. Errors: PrefixedBadRequest."""
    try:
        payload = decode(ANY_MAP, b"{}" if request.body.strip() == b"null" else request.body)
        fields = decode_fields(payload, SHAPE)
    except (DecodeError, Refused) as error:
        raise PrefixedBadRequest(f"Request decoding failed: {error}") from None
    gateway: Mapping[str, Any] = fields.get("OverrideMeshGateway") or {}
    timeout = fields.get("OverrideConnectTimeout") or 0
    if not isinstance(timeout, int | float):
        raise EndpointError("OverrideConnectTimeout is no duration")
    return Overrides(
        mesh_gateway_mode=gateway.get("Mode") or "",
        protocol=fields.get("OverrideProtocol") or "",
        connect_timeout_ns=int(timeout),
    )
