"""What a client agent without a certificate asks for its first one (Consul 1.7: auto_encrypt_endpoint.go)."""

from __future__ import annotations

import json

from apid.core.decoding import DecodeError, decode
from apid.core.encoding import to_json
from apid.core.errors import HttpError, PrefixedBadRequest
from apid.core.message import Request, Response
from apid.core.routes import Operation, Route
from apid.endpoints.connect_ca import CONNECT_OFF, SIGNING_REQUEST, ConnectCaEndpoints, roots_and_cluster
from apid.node.context import Node
from apid.node.leaves import FIRST_SIGN_PATH
from apid.node.reading import json_response
from lictor.state import render

NOT_ALLOWED = "AutoEncrypt.AllowTLS must be enabled in order to use this endpoint"


class AutoEncryptEndpoints:
    """Reached through the forward port's way for agents without a certificate, and nowhere else."""

    def __init__(self, node: Node, authority: ConnectCaEndpoints) -> None:
        self._node = node
        self._authority = authority

    def routes(self) -> list[Route]:
        return [
            Route(
                FIRST_SIGN_PATH,
                {
                    "POST": Operation(
                        self.sign,
                        "Sign a client agent's first certificate; for the cluster's own agents",
                        body=SIGNING_REQUEST,
                        result={"type": "object"},
                        responses={400: "A malformed body", 404: "Asked by a client", 429: "Too many at once"},
                        bare_statuses=(404,),
                        namespaced=False,
                    )
                },
            )
        ]

    async def sign(self, request: Request) -> Response:
        node = self._node
        if not request.internal:
            return Response(404, plain=True)
        if not node.config.connect.enabled:
            raise HttpError(CONNECT_OFF)
        if not node.config.connect.auto_encrypt_allow_tls:
            raise HttpError(NOT_ALLOWED)
        try:
            fields = decode(SIGNING_REQUEST, request.body)
        except DecodeError as error:
            raise PrefixedBadRequest(f"Request decode failed: {error}") from None
        issued = await self._authority.signed(request, fields.get("CSR", ""))
        with node.state.read() as txn:
            roots, cluster_id = roots_and_cluster(txn).value
        encryption = node.encryption
        return json_response(
            to_json(
                {
                    "IssuedCert": issued,
                    "ConnectCARoots": json.loads(render.ca_roots(roots, cluster_id)),
                    "ManualCARoots": list(encryption.configurator.manual_authorities) if encryption else [],
                    "VerifyServerHostname": encryption.configurator.verify_server_hostname if encryption else False,
                }
            )
        )
