"""What all endpoints of access control share: who answers, who may, reading, changing.

Three things differ from other endpoints. With access control off nothing is looked at but the method. Changes ignore
`?dc=`: global records belong to the primary datacenter, whoever is asked. A missing role, binding rule or auth method
is an empty 404 without meta data.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace as with_changes
from typing import Any, TypeVar

from apid.core.decoding import DecodeError, Kind, decode
from apid.core.dispatcher import refuse_namespace
from apid.core.encoding import to_json
from apid.core.errors import ACL_DISABLED, PERMISSION_DENIED, Forbidden, HttpError, PrefixedBadRequest
from apid.core.message import Answer, Request, Response
from apid.core.read_options import DEFAULT, ReadRequest
from apid.core.routes import Operation
from apid.endpoints.catalog import explained
from apid.endpoints.primary_datacenter import without_datacenter
from apid.node.consensus import refusal
from apid.node.context import Node
from apid.node.reading import PLAIN, Query, QueryResult, json_response
from lictor.acl import ALLOW_ALL, Authorizer
from lictor.state.commands import Command, Failed
from lictor.state.queries.read import QueryError, Read
from lictor.state.store import ReadTxn
from lictor.state.uuids import check_uuid
from lictor.state.writer import Refused

READ_PARAMETERS = ("dc", "index", "wait", "stale", "consistent", "max_stale")
NOT_FOUND = "ACL not found"
REPLICATION_NEEDED = "Token replication is required for auth methods to function"
MISSING_STATUS = 404
COMMON_RESPONSES = {401: ACL_DISABLED, 403: "The token does not allow it, or is unknown"}

Made = TypeVar("Made")
Fields = dict[str, Any]
HeaderPair = tuple[bytes, bytes]
Show = Callable[[Any, Authorizer], Response]


def may_read(authorizer: Authorizer) -> bool:
    return authorizer.acl_read()


class AclArea:
    """The base of the areas: each has its own noun."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reads = node.reads
        self._elsewhere = Operation(self._unreachable, "", meta_on_error=True)

    def _operation(
        self, handler: Callable[[Request], Answer], summary: str, path: str = "", **documented: Any
    ) -> Operation:
        """An operation that says so when access control is off, and finds out itself who answers."""

        def guarded(request: Request) -> Answer:
            if not self._node.config.acl.enabled:
                raise HttpError(ACL_DISABLED, 401)
            return handler(request)

        responses = COMMON_RESPONSES | documented.pop("responses", {})
        return Operation(guarded, summary, path, responses=responses, namespaced=False, forwarded=False, **documented)

    def _unreachable(self, request: Request) -> Response:
        raise AssertionError("only stands for forwarded requests")

    # ------------------------------------------------------------------------------------------------ who answers

    @property
    def _in_primary(self) -> bool:
        config = self._node.config
        return config.primary_datacenter in ("", config.datacenter)

    @property
    def _local_tokens(self) -> bool:
        """Whether this datacenter may have tokens of its own."""
        return self._in_primary or (
            self._node.config.acl.enable_token_replication and bool(self._node.tokens.replication)
        )

    def _server_elsewhere(self, request: Request) -> Awaitable[Response] | None:
        """The answer of a server of this datacenter, when this agent is none."""
        return None if self._node.config.server_mode else self._node.forwarder.send(request)

    def _primary_elsewhere(self, request: Request) -> Awaitable[Response] | None:
        """The primary datacenter's answer when that is another one."""
        if self._node.config.server_mode and self._in_primary:
            return None
        return self._node.forwarder.send(without_datacenter(request), self._node.config.primary_datacenter)

    def _datacenter_elsewhere(self, request: Request) -> Awaitable[Response] | None:
        """The answer to a change in the datacenter that `?dc=` asks for, when that is another one."""
        datacenter = request.get("dc")
        if datacenter and datacenter != self._node.config.datacenter:
            return self._node.forwarder.send(request, datacenter)
        return self._server_elsewhere(request)

    def _reader_elsewhere(self, request: Request) -> Awaitable[Response] | None:
        """The answer to a read of the datacenter that `?dc=` asks for, when that is another one."""
        return self._node.forwarder.elsewhere(request, self._elsewhere)

    def _need_own_tokens(self) -> None:
        """Auth methods make local tokens. Errors: HttpError where a datacenter has none."""
        if self._lacks_own_tokens:
            raise HttpError(REPLICATION_NEEDED)

    @property
    def _lacks_own_tokens(self) -> bool:
        return self._node.config.server_mode and not self._local_tokens

    def _own_tokens_elsewhere(self, request: Request) -> Awaitable[Response] | None:
        """Like `_reader_elsewhere`, for what only datacenters with local tokens have."""
        return self._refused_reader(request) if self._lacks_own_tokens else self._reader_elsewhere(request)

    async def _refused_reader(self, request: Request) -> Response:
        """A read's refusal, with empty meta data."""
        return self._reads.refuse(request, HttpError(REPLICATION_NEEDED), PLAIN)

    # ----------------------------------------------------------------------------------------------------- rights

    def _secret(self, request: Request) -> str:
        """The secret that the request is made with, the agent's default one included; empty when there is none."""
        return request.token() or ("" if request.hops else self._node.tokens.default)

    def _need_write(self, request: Request) -> None:
        if not self._node.authorizer(request).acl_write():
            raise Forbidden(PERMISSION_DENIED)

    # ---------------------------------------------------------------------------------------------------- reading

    async def _read(
        self,
        request: Request,
        query: Query,
        show: Show,
        options: ReadRequest,
        right: Callable[[Authorizer], bool] | None = may_read,
    ) -> Response:
        """The answer to a read that needs a right (None: whoever asks). Failures carry empty meta data."""
        authorizer: Authorizer = ALLOW_ALL

        def allowed(txn: ReadTxn) -> Any:
            nonlocal authorizer
            if right is not None:
                authorizer = self._node.authorizer(request)
                if not right(authorizer):
                    raise Forbidden(PERMISSION_DENIED)
            return query(txn)

        try:
            result, leader, contact = await self._reads.run(allowed, options)
            response = show(result.value, authorizer)
        except (HttpError, QueryError) as error:
            return self._reads.refuse(request, error, PLAIN)
        if response.status != MISSING_STATUS:
            response.headers += index_headers(result, leader, contact)
        return response

    def _options(self, request: Request) -> ReadRequest:
        """The read options of a request without a namespace. Errors: BadRequest."""
        options = self._reads.parse(request)
        refuse_namespace(request)
        return options

    # --------------------------------------------------------------------------------------------------- changing

    def _named(self, request: Request, what: str) -> str:
        """What the rest of the path names in a deletion. Errors: BadRequest."""
        if not request.tail:
            raise PrefixedBadRequest(f"Missing {what}")
        refuse_namespace(request)
        return request.tail

    def _decoded(self, kind: Kind, request: Request, noun: str) -> Fields:
        """The body of a change. Errors: BadRequest."""
        refuse_namespace(request)
        try:
            fields: Fields = decode(kind, request.body)
        except DecodeError as error:
            raise PrefixedBadRequest(f"{noun} decoding failed: {explained(str(error))}") from None
        return fields

    async def _from_state(self, made: Callable[[ReadTxn], Made]) -> Made:
        """What a function makes of the present state. Errors: HttpError for what it refuses."""

        def query(txn: ReadTxn) -> Read[Made]:
            return Read(made(txn), 0, ())

        try:
            found, _, _ = await self._reads.run(query, DEFAULT)
        except Refused as refused:
            raise refusal(Failed(refused.text, refused.kind)) from None
        except QueryError as error:
            raise HttpError(error.text) from None
        value: Made = found.value
        return value

    async def _changed(self, command: Command, query: Callable[[ReadTxn], Read[Made]]) -> Made:
        """What a query finds once the command is applied. Errors: HttpError."""
        applied = await self._node.consensus.propose(command)
        await self._node.changes.caught_up(applied.index)
        with self._node.state.read() as txn:
            return query(txn).value


def index_headers(result: QueryResult, leader: HeaderPair, contact: HeaderPair) -> list[HeaderPair]:
    """The meta data of a read that was carried out."""
    return [(b"X-Consul-Index", b"%d" % (result.index or 1)), leader, contact]


def shown(value: Any) -> Response:
    return json_response(to_json(value))


def one(noun: str, query: Callable[[ReadTxn, str], Read[Made]], record_id: str) -> Query:
    """The query for the record of an ID, which has to look like one. Errors of the query: QueryError."""

    def found(txn: ReadTxn) -> Read[Made]:
        if problem := check_uuid(record_id):
            raise QueryError(f"failed acl {noun} lookup: {problem}")
        return query(txn, record_id)

    return found


def missing() -> Response:
    """An empty 404."""
    return Response(MISSING_STATUS)


def without_blocking(options: ReadRequest) -> ReadRequest:
    return with_changes(options, min_index=0)


def may_be_bad(what: str) -> Mapping[int, str]:
    """How the 400 of an operation is documented."""
    return {400: f"{what}, or a malformed parameter"}
