"""/v1/config: the configuration entries of services and proxies (Consul 1.7: config_endpoint.go)."""

from __future__ import annotations

from apid.core.decoding import ANY, ANY_MAP, DecodeError, decode
from apid.core.errors import (
    PERMISSION_DENIED,
    BadRequest,
    EndpointError,
    Forbidden,
    HttpError,
    NotFound,
    PrefixedBadRequest,
)
from apid.core.message import JSON, Answer, Request, Response, text_response
from apid.core.parameters import parse_uint
from apid.core.routes import Operation, Route
from apid.endpoints import schemas
from apid.endpoints.primary_datacenter import primary_elsewhere
from apid.node.context import Node
from apid.node.reading import BARE_ERRORS, json_response
from lictor.state import commands, render, rights
from lictor.state.config_decoding import decode_entry, validate_entry
from lictor.state.config_entries import GLOBAL, KINDS, PROXY_DEFAULTS
from lictor.state.gotext import quote as go_quote
from lictor.state.queries import config
from lictor.state.queries.read import ReadOptions
from lictor.state.rows import ConfigEntry
from lictor.state.writer import Refused

READ_PARAMETERS = ("dc", "index", "wait", "stale", "consistent", "max_stale")
ENTRY = {"type": "object", "properties": {"Kind": schemas.STRING, "Name": schemas.STRING}}


class ConfigEntryEndpoints:
    """Reads and writes entries. Writes belong to the primary datacenter, whichever is asked for."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reads = node.reads

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/config",
                {
                    "PUT": Operation(
                        self.apply,
                        "Create or replace a configuration entry",
                        query=("cas",),
                        body=ANY_MAP,
                        result=schemas.BOOLEAN,
                        responses={400: "The body is no configuration entry"},
                        forwarded=False,
                    )
                },
            ),
            Route(
                "/v1/config/",
                {
                    "GET": Operation(
                        self.read,
                        "One configuration entry, or all of a kind",
                        "/v1/config/{kind}/{name}",
                        READ_PARAMETERS,
                        result={"anyOf": [ENTRY, schemas.array(ENTRY)]},
                        responses={400: "A malformed parameter", 404: "No such entry"},
                    ),
                    "DELETE": Operation(
                        self.delete,
                        "Remove a configuration entry; it need not exist",
                        "/v1/config/{kind}/{name}",
                        result={"type": "object"},
                        responses={400: "No such kind", 404: "Kind or name is missing"},
                        forwarded=False,
                    ),
                },
            ),
        ]

    def read(self, request: Request) -> Answer:
        options = self._reads.parse(request)
        kind, slash, name = request.tail.partition("/")
        authorizer = self._node.authorizer(request)
        if kind not in KINDS and (kind or slash):
            raise HttpError(f"invalid config entry kind: {kind}")
        if not slash:
            narrowed = ReadOptions(authorizer=authorizer)
            return self._reads.answer(
                request, lambda txn: config.entries(txn, kind, narrowed), _entries, BARE_ERRORS, options
            )
        if not config.may_read(authorizer, kind, name):
            raise Forbidden(PERMISSION_DENIED)

        def entry(row: ConfigEntry | None) -> Response:
            if row is None:
                return text_response(404, f"Config entry not found for {go_quote(kind)} / {go_quote(name)}")
            return json_response(render.config_entry(row))

        return self._reads.answer(request, lambda txn: config.entry(txn, kind, name), entry, BARE_ERRORS, options)

    async def apply(self, request: Request) -> Response:
        try:
            entry = decode_entry(decode(ANY, request.body))
        except DecodeError as error:
            raise PrefixedBadRequest(f"Request decoding failed: {error}") from None
        except Refused as refused:
            raise PrefixedBadRequest(f"Request decoding failed: {refused.text}") from None
        cas_index = _cas_index(request)
        if (elsewhere := primary_elsewhere(self._node, request)) is not None:
            return await elsewhere
        authorizer = self._node.authorizer(request)
        try:
            validate_entry(entry)
        except Refused as refused:
            raise HttpError(refused.text) from None
        if not rights.may_write_entry(authorizer, entry):
            raise Forbidden(PERMISSION_DENIED)
        applied = await self._node.consensus.propose(commands.ConfigSet(entry, cas_index))
        assert isinstance(applied.result, commands.Outcome)
        return Response(200, b"true" if applied.result.ok else b"false", JSON)

    async def delete(self, request: Request) -> Response:
        kind, slash, name = request.tail.partition("/")
        if not slash:
            raise NotFound("Must provide both a kind and name to delete")
        if kind not in KINDS:
            raise BadRequest(f"invalid config entry kind: {kind}")
        if (elsewhere := primary_elsewhere(self._node, request)) is not None:
            return await elsewhere
        if kind == PROXY_DEFAULTS:
            name = GLOBAL
        if not rights.may_write_entry(self._node.authorizer(request), ConfigEntry(kind, name, {})):
            raise Forbidden(PERMISSION_DENIED)
        await self._node.consensus.propose(commands.ConfigDelete(kind, name))
        return Response(200, b"{}", JSON)


def _entries(rows: list[ConfigEntry]) -> Response:
    return json_response(render.config_entries(rows))


def _cas_index(request: Request) -> int | None:
    text = request.get("cas")
    if not text:
        return None
    try:
        return parse_uint(text)
    except ValueError as error:
        raise EndpointError(str(error)) from None
