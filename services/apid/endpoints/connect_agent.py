"""/v1/agent/connect: roots, leaf certificates and authorization for local proxies (Consul 1.7: agent_endpoint.go)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from apid.core.decoding import TEXT, DecodeError, Struct, decode
from apid.core.encoding import to_json
from apid.core.errors import PERMISSION_DENIED, Forbidden, HttpError, PrefixedBadRequest
from apid.core.message import HeaderList, Request, Response
from apid.core.routes import Operation, Route
from apid.endpoints import schemas
from apid.endpoints.auto_encrypt import AutoEncryptEndpoints
from apid.endpoints.connect_ca import CONNECT_OFF, SIGN_PATH, ConnectCaEndpoints, render_roots, roots_and_cluster
from apid.node.bearer import ANONYMOUS, bearing, headers_with_token
from apid.node.context import Node
from apid.node.leaves import Leaf, Leaves
from apid.node.reading import BARE_ERRORS, json_response
from lictor.acl import enforced
from lictor.connect.spiffe import ServiceIdentity, SpiffeError, parse_identity
from lictor.state import render
from lictor.state.machine.intention import WILDCARD
from lictor.state.queries import intention

AUTHORIZE = Struct(
    "ConnectAuthorizeRequest", {"Target": TEXT, "ClientCertURI": TEXT, "ClientCertSerial": TEXT, "Namespace": TEXT}
)
AUTHORIZATION = {
    "type": "object",
    "properties": {"Authorized": schemas.BOOLEAN, "Reason": schemas.STRING},
    "required": ["Authorized", "Reason"],
}


class ConnectAgentEndpoints:
    """What proxies ask their own agent, with the authority behind it: signing has one limit, whoever asks."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._authority = ConnectCaEndpoints(node)
        self._leaves = Leaves(node, self._own)

    def routes(self) -> list[Route]:
        return [
            *self._authority.routes(),
            *AutoEncryptEndpoints(self._node, self._authority).routes(),
            Route(
                "/v1/agent/connect/ca/roots",
                {
                    "GET": Operation(
                        self.roots,
                        "The root certificates to trust, from the agent's cache",
                        query=("index", "wait"),
                        result={"type": "object"},
                        responses={400: "A malformed parameter"},
                        namespaced=False,
                        forwarded=False,
                    )
                },
            ),
            Route(
                "/v1/agent/connect/ca/leaf/",
                {
                    "GET": Operation(
                        self.leaf,
                        "A service's certificate and key; with index waits for the next one",
                        "/v1/agent/connect/ca/leaf/{service}",
                        ("index", "wait"),
                        result={"type": "object"},
                        responses={400: "A malformed parameter", 429: "Too many are being signed"},
                        forwarded=False,
                    )
                },
            ),
            Route(
                "/v1/agent/connect/authorize",
                {
                    "POST": Operation(
                        self.authorize,
                        "Whether a client with this certificate may connect to a service",
                        body=AUTHORIZE,
                        result=AUTHORIZATION,
                        responses={400: "Target or certificate URI is missing or malformed"},
                        forwarded=False,
                    )
                },
            ),
        ]

    async def roots(self, request: Request) -> Response:
        node = self._node
        options = replace(node.reads.parse(request), cached=True)
        if node.config.server_mode:
            if not node.config.connect.enabled:
                raise HttpError(CONNECT_OFF)
            answer = node.reads.answer(
                request, roots_and_cluster, render_roots, replace(BARE_ERRORS, cached=True), options
            )
            return answer if isinstance(answer, Response) else await answer
        response = await self._of_a_server(request, "/v1/connect/ca/roots", request.query)
        node.reads.note_cache(request, response, options)
        return response

    async def leaf(self, request: Request) -> Response:
        options = self._node.reads.parse(request)
        leaf, hit = await self._leaves.get(request, request.tail, options)
        headers: HeaderList = [(b"X-Consul-Index", b"%d" % leaf.index), (b"X-Cache", b"HIT" if hit else b"MISS")]
        if hit:
            headers.append((b"Age", b"%d" % self._leaves.age_s(leaf)))
        response = json_response(_shown(leaf))
        response.headers += headers
        return response

    async def authorize(self, request: Request) -> Response:
        try:
            fields = decode(AUTHORIZE, request.body)
        except DecodeError as error:
            raise PrefixedBadRequest(f"Request decode failed: {error}") from None
        target = fields.get("Target", "")
        if not target:
            raise PrefixedBadRequest("Target service must be specified")
        try:
            client = parse_identity(fields.get("ClientCertURI", ""))
        except SpiffeError:
            raise PrefixedBadRequest("ClientCertURI not a valid Connect identifier") from None
        if not isinstance(client, ServiceIdentity):
            raise PrefixedBadRequest("ClientCertURI not a valid Service identifier")
        authorizer = self._node.authorizer(request)
        if not (authorizer.service_write(target) and authorizer.intention_read(target)):
            raise Forbidden(PERMISSION_DENIED)
        authorized, reason = self._decision(request, await self._matches(request, target), client)
        response = json_response(to_json({"Authorized": authorized, "Reason": reason}))
        # What is kept are the target's intentions, so the target alone is the question.
        question = Request("GET", request.path, f"target={quote(target)}".encode(), request.headers)
        self._node.reads.note_cache(question, response, self._node.reads.parse(request))
        return response

    def _decision(self, request: Request, matches: list[dict[str, Any]], client: ServiceIdentity) -> tuple[bool, str]:
        """By the first intention, in the order of precedence, that covers the client."""
        for item in matches:
            if item["SourceNS"] in (client.namespace, WILDCARD) and item["SourceName"] in (client.service, WILDCARD):
                described = (
                    f"{item['Action'].upper()} {item['SourceNS']}/{item['SourceName']} => "
                    f"{item['DestinationNS']}/{item['DestinationName']} "
                    f"(ID: {item['ID']}, Precedence: {item['Precedence']})"
                )
                return item["Action"] == "allow", f"Matched intention: {described}"
        anonymous = self._node.authorizer(bearing(request, ANONYMOUS))
        if not enforced(anonymous):
            return True, "ACLs disabled, access is allowed by default"
        return anonymous.intention_default_allow(), "Default behavior configured by ACLs"

    async def _matches(self, request: Request, target: str) -> list[dict[str, Any]]:
        """The intentions that apply to a service, as the API shows them."""
        node = self._node
        if node.config.server_mode:
            options = node.reads.parse(Request("GET", request.path, b"", []))
            found, _, _ = await node.reads.run(lambda txn: intention.match(txn, False, target), options)
            return [render.intention_dict(row) for row in found.value]
        query = f"by=destination&name={quote(target, safe='')}".encode()
        answer = await self._of_a_server(request, "/v1/connect/intentions/match", query)
        matches: list[dict[str, Any]] = json.loads(answer.body)[target] or []
        return matches

    async def _own(self, message: Request) -> Response:
        """This server's answer about roots, or its signature."""
        answer = self._authority.sign(message) if message.path == SIGN_PATH else self._authority.roots(message)
        return answer if isinstance(answer, Response) else await answer

    async def _of_a_server(self, request: Request, path: str, query: bytes) -> Response:
        """A server's answer. Errors: HttpError with the text of an answer that is not 200."""
        target = path.encode() + (b"?" + query if query else b"")
        headers = headers_with_token(request)
        message = Request("GET", path, query, headers, b"", request.remote_address, target, request.hops)
        response = await self._node.forwarder.send(message, own=True)
        if response.status != 200:
            raise HttpError(response.body.decode("utf-8", "replace"), response.status)
        return response


def _shown(leaf: Leaf) -> bytes:
    return to_json(
        {
            "SerialNumber": leaf.serial,
            "CertPEM": leaf.certificate,
            "PrivateKeyPEM": leaf.private_key,
            "Service": leaf.service,
            "ServiceURI": leaf.uri,
            "ValidAfter": leaf.valid_after,
            "ValidBefore": leaf.valid_before,
            "CreateIndex": leaf.index,
            "ModifyIndex": leaf.index,
        }
    )
