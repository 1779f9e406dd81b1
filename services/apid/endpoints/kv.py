"""/v1/kv/: the key/value store (Consul 1.7: kvs_endpoint.go)."""

from __future__ import annotations

from urllib.parse import quote_plus

from apid.core.errors import PERMISSION_DENIED, BadRequest, BodyTooLarge, EndpointError, Forbidden
from apid.core.message import JSON, Answer, Request, Response
from apid.core.parameters import parse_uint, raw_bytes
from apid.core.routes import Operation, Route
from apid.core.sniff import detect_content_type
from apid.node import versions
from apid.node.context import Node
from apid.node.reading import BARE_ERRORS, json_response
from lictor.acl import Authorizer
from lictor.state import commands, render
from lictor.state.queries import kv
from lictor.state.rows import KVEntry

PATTERN = "/v1/kv/"
TRUE, FALSE = b"true", b"false"
DOCS_URL = "https://www.consul.io/docs/agent/options.html#kv_max_value_size"
READ_PARAMETERS = ("dc", "recurse", "keys", "separator", "raw", "index", "wait", "stale", "consistent", "max_stale")
ENTRY_SCHEMA = {
    "type": "object",
    "properties": {
        "LockIndex": {"type": "integer"},
        "Key": {"type": "string"},
        "Flags": {"type": "integer"},
        "Value": {"type": ["string", "null"], "contentEncoding": "base64"},
        "Session": {"type": "string"},
        "CreateIndex": {"type": "integer"},
        "ModifyIndex": {"type": "integer"},
    },
}


class KvEndpoints:
    """Reads, writes and deletes keys."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reads = node.reads

    def routes(self) -> list[Route]:
        limit = self._node.config.limits.kv_max_value_size
        return [
            Route(
                PATTERN,
                {
                    "GET": Operation(
                        self.get,
                        "Read a key, or with recurse or keys what is under a prefix",
                        "/v1/kv/{key}",
                        READ_PARAMETERS,
                        result={"type": "array", "items": {"anyOf": [ENTRY_SCHEMA, {"type": "string"}]}},
                        responses={400: "No key, or parameters that contradict", 404: "No such key"},
                        bare_statuses=(404,),
                    ),
                    "PUT": Operation(
                        self.put,
                        "Write a key; with cas, acquire or release only on a condition",
                        "/v1/kv/{key}",
                        ("dc", "flags", "cas", "acquire", "release"),
                        raw_body=True,
                        result={"type": "boolean"},
                        responses={400: "No key, or parameters that contradict", 413: "The value is too large"},
                    ),
                    "DELETE": Operation(
                        self.delete,
                        "Delete a key, or with recurse everything under a prefix",
                        "/v1/kv/{key}",
                        ("dc", "recurse", "cas"),
                        result={"type": "boolean"},
                        responses={400: "No key, or parameters that contradict"},
                    ),
                },
                max_body_bytes=limit,
            )
        ]

    def get(self, request: Request) -> Answer:
        options = self._reads.parse(request)
        key = raw_bytes(request.tail)
        if request.query and request.has("keys"):
            return self._names(request, key)
        if request.query and request.has("recurse"):
            authorizer = self._require_list(request)
            return self._reads.answer(
                request,
                lambda txn: kv.list_prefix(txn, key, authorizer),
                _render_entries,
                BARE_ERRORS,
                options,
                versions.KEY_VALUE,
            )
        if not key:
            raise BadRequest("Missing key name")
        if not self._node.authorizer(request).key_read(request.tail):
            raise Forbidden(PERMISSION_DENIED)
        render_entry = _render_raw if request.query and request.has("raw") else _EntryRenderer(key)
        return self._reads.answer(
            request, lambda txn: kv.get(txn, key), render_entry, BARE_ERRORS, options, lambda _: (b"K" + key,)
        )

    def _names(self, request: Request, prefix: bytes) -> Answer:
        separator = request.get("separator") if request.has("separator") else request.get("seperator")
        authorizer = self._require_list(request)

        def render_names(names: list[bytes]) -> Response:
            if not names and prefix:
                return Response(404)
            return json_response(render.keys(names))

        return self._reads.answer(
            request,
            lambda txn: kv.key_names(txn, prefix, raw_bytes(separator), authorizer),
            render_names,
            BARE_ERRORS,
            versions=versions.KEY_VALUE,
        )

    def _require_list(self, request: Request) -> Authorizer:
        """What sorts a prefix's keys out; `enable_key_list_policy` asks for the right to list them, too."""
        authorizer = self._node.authorizer(request)
        if self._node.config.acl.enable_key_list_policy and not authorizer.key_list(request.tail):
            raise Forbidden(PERMISSION_DENIED)
        return authorizer

    async def put(self, request: Request) -> Response:
        self._reads.parse(request)
        limit = self._node.config.limits.kv_max_value_size
        key = _required_key(request)
        _refuse_conflict(request, "cas", "acquire", "release")
        flags = _number(request, "flags") if request.has("flags") else 0
        verb, index, session = "set", 0, ""
        if request.has("cas"):
            verb, index = "cas", _number(request, "cas")
        if request.has("acquire"):
            verb, session = "lock", request.get("acquire")
        if request.has("release"):
            verb, session = "unlock", request.get("release")
        if request.body_bytes > limit:
            raise BodyTooLarge(
                f"Request body({request.body_bytes} bytes) too large, max size: {limit} bytes. See {DOCS_URL}."
            )
        if not self._node.authorizer(request).key_write(request.tail):
            raise Forbidden(PERMISSION_DENIED)
        command = commands.KV(verb, key, request.body or None, flags, index, session)
        applied = await self._node.consensus.propose(command)
        return _outcome(applied.result, always=verb == "set")

    async def delete(self, request: Request) -> Response:
        self._reads.parse(request)
        _refuse_conflict(request, "recurse", "cas")
        verb, index = "delete", 0
        if request.has("recurse"):
            verb, key = "delete-tree", raw_bytes(request.tail)
        else:
            key = _required_key(request)
        if request.has("cas"):
            verb, index = "delete-cas", _number(request, "cas")
        authorizer = self._node.authorizer(request)
        allowed = authorizer.key_write_prefix if verb == "delete-tree" else authorizer.key_write
        if not allowed(request.tail):
            raise Forbidden(PERMISSION_DENIED)
        applied = await self._node.consensus.propose(commands.KV(verb, key, index=index))
        return _outcome(applied.result, always=verb != "delete-cas")


class _EntryRenderer:
    """Renders the entry of one key."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, entry: KVEntry | None) -> Response:
        if entry is None:
            return Response(404)
        return Response(200, b"[" + render.kv_entry(self._key, entry) + b"]", JSON)


def _render_entries(pairs: list[tuple[bytes, KVEntry]]) -> Response:
    return json_response(render.kv_entries(pairs)) if pairs else Response(404)


def _render_raw(entry: KVEntry | None) -> Response:
    if entry is None:
        return Response(404)
    value = entry.value or b""
    return Response(200, value, detect_content_type(value) if value else b"")


def _outcome(result: commands.AnyResult, always: bool) -> Response:
    taken = always or (isinstance(result, commands.Outcome) and result.ok)
    return Response(200, TRUE if taken else FALSE, JSON)


def _required_key(request: Request) -> bytes:
    if not request.tail:
        raise BadRequest("Missing key name")
    return raw_bytes(request.tail)


def _number(request: Request, name: str) -> int:
    try:
        return parse_uint(request.get(name))
    except ValueError as error:
        raise EndpointError(str(error)) from None


def _refuse_conflict(request: Request, *names: str) -> None:
    if not request.query or sum(request.has(name) for name in names) < 2:
        return
    pairs = (
        f"{quote_plus(name)}={quote_plus(value)}" for name, values in sorted(request.params.items()) for value in values
    )
    raise BadRequest("Conflicting flags: " + "&".join(pairs))
