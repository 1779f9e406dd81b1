"""What narrows and orders a list: `filter`, `node-meta`, `near` (Consul 1.7: http.go, parseSource)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from apid.core.errors import HttpError
from apid.core.message import FAILED_META, JSON, Request, Response
from apid.core.read_options import ReadRequest
from apid.node.context import Node
from apid.node.reading import LEVELS
from lictor.acl import Authorizer
from lictor.filter import FAILED, FilterError, FilterSyntaxError, compile_filter, fields
from lictor.state.queries import catalog
from lictor.state.queries.read import Filter, ReadOptions
from lictor.state.store import ReadTxn

REMEMBERED_FILTERS = 512
# Those with regular expressions, which take memory (lictor.regexp).
REMEMBERED_REGEXP_FILTERS = 64
AGENT_SOURCE = "_agent"
IP_SOURCE = "_ip"
_TABLES: dict[str, Any] = {
    name: getattr(fields, name)
    for name in (
        "AGENT_SERVICES",
        "CATALOG_NODES",
        "CATALOG_SERVICE",
        "CHECKS",
        "HEALTH_SERVICE",
        "NODE_SERVICES",
        "UI_NODES",
    )
}


@lru_cache(maxsize=REMEMBERED_FILTERS)
def _compiled(text: str, table: str) -> Filter:
    return compile_filter(text, _TABLES[table])


@lru_cache(maxsize=REMEMBERED_REGEXP_FILTERS)
def _compiled_with_regexp(text: str, table: str) -> Filter:
    return compile_filter(text, _TABLES[table])


def parse_filter(text: str, table: str) -> Filter | None:
    """The compiled expression, None when it is empty. Errors: HttpError with Consul's text."""
    if not text:
        return None
    try:
        return _remembered(text, table)
    except FilterError as error:
        raise HttpError(f"{FAILED}{error}") from None


def _remembered(text: str, table: str) -> Filter:
    return _compiled_with_regexp(text, table) if "matches" in text else _compiled(text, table)


def parse_late_filter(text: str, table: str) -> Filter | None:
    """The same where Consul looks at the selectors only when there is something to filter: the filter raises then.

    Errors: HttpError for an expression that cannot be read.
    """
    try:
        return _remembered(text, table) if text else None
    except FilterSyntaxError as error:
        raise HttpError(f"{FAILED}{error}") from None
    except FilterError as error:
        refusal = HttpError(str(error))

    def refuse(_: Any) -> bool:
        raise refusal

    return refuse


def node_meta(request: Request) -> dict[str, str]:
    """The `node-meta=key:value` pairs that are wanted."""
    pairs = (pair.partition(":") for pair in request.params.get("node-meta", ()))
    return {name: value for name, _, value in pairs}


def near_node(node: Node, request: Request, txn: ReadTxn, default: str = "") -> str:
    """The name of the node that `near` means, or `default` when the request has none."""
    near = request.get("near") or default
    if near == AGENT_SOURCE:
        return request.asking_agent() or node.config.node_name
    if near == IP_SOURCE:
        address = request.client_address()
        found = (row.node for row in catalog.nodes(txn).value if row.address == address)
        return next(found, "") if address else ""
    return near


def selection(
    node: Node, request: Request, txn: ReadTxn, table: str = "", authorizer: Authorizer | None = None
) -> ReadOptions:
    """Everything that narrows the request's list. Errors: HttpError for a filter that is none, and for a token that is
    none: then, unless the caller has the token's rights already, a wrong filter comes first.
    """
    if not request.query:
        return ReadOptions(authorizer=authorizer or node.authorizer(request))
    keep = parse_filter(request.get("filter"), table) if table else None
    return ReadOptions(
        authorizer=authorizer or node.authorizer(request),
        node_meta=node_meta(request),
        near=near_node(node, request, txn),
        filter=keep,
    )


def nothing_readable(node: Node, request: Request, options: ReadRequest) -> Response:
    """The answer to who asks for what connects to a service that it may not read: nobody was asked, so nobody leads."""
    response = Response(200, b"[]", JSON, list(FAILED_META))
    response.headers.append(LEVELS[options.level])
    if options.cached:
        node.reads.note_cache(request, response, options)
    return response
