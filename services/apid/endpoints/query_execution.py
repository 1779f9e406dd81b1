"""Running a prepared query: here, and where nothing is left here, in other datacenters (Consul 1.7: prepared_query)."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from apid.core.encoding import to_json
from apid.core.errors import CALL_PREFIX, EndpointError, HttpError, NotFound, ServerNotFound
from apid.core.message import FAILED_META, Request, Response, text_response
from apid.core.parameters import parse_bool, parse_int
from apid.core.read_options import ReadRequest
from apid.core.translation import translated_execution
from apid.endpoints.selection import near_node
from apid.node.bearer import bearing
from apid.node.context import Node
from apid.node.datacenters import datacenters_by_distance
from apid.node.reading import (
    KNOWN_LEADER,
    LEVELS,
    QueryResult,
    as_http_error,
    json_response,
)
from lictor.state import render
from lictor.state.queries import prepared
from lictor.state.queries.read import Instance, QueryError, Read, ReadOptions
from lictor.state.rows import PreparedQuery
from lictor.state.store import ReadTxn

log = logging.getLogger("agent.server")

QUERY_NOT_FOUND = "Query not found"
REMOTE_PATH = b"/v1/internal/query/execute"
NANOSECONDS_PER_MILLISECOND = 1_000_000
Meta = dict[str, int | bool | str]


class _Remote(msgspec.Struct):
    """What this datacenter takes from another one's answer."""

    nodes: msgspec.Raw = msgspec.field(name="Nodes")
    datacenter: str = msgspec.field(name="Datacenter")
    last_contact_ns: int = msgspec.field(name="LastContact")
    known_leader: bool = msgspec.field(name="KnownLeader")


_decode_remote = msgspec.json.Decoder(_Remote).decode


def refused(node: Node, request: Request, error: HttpError | QueryError) -> Response:
    """A read's failure; every one but a missing query shows (empty) meta data."""
    status, text = as_http_error(error).after_calls(node.reads.calls(request, True))
    return text_response(status, text, None if status == NotFound.status else list(FAILED_META))


def take_limit(request: Request) -> int:
    """`limit`, 0 when absent. Errors: HttpError."""
    text = request.get("limit")
    if not text:
        return 0
    try:
        return parse_int(text)
    except ValueError as error:
        raise EndpointError(f"Bad limit: {error}") from None


def result_meta(leader: tuple[bytes, bytes], contact: tuple[bytes, bytes], level: str) -> Meta:
    """The meta data that these answers carry in their bodies, too; the index is always 0 there."""
    return {
        "Index": 0,
        "LastContact": int(contact[1]) * NANOSECONDS_PER_MILLISECOND,
        "KnownLeader": leader == KNOWN_LEADER,
        "ConsistencyLevel": level,
    }


def failover_order(query: PreparedQuery, others: Sequence[str]) -> list[str]:
    """The datacenters to try, `others` being the known ones, nearest first: some nearest, then those that are named."""
    failover = query.service["Failover"]
    nearest = list(others[: max(failover["NearestN"], 0)])
    listed = [name for name in failover["Datacenters"] or () if name in others and name not in nearest]
    return nearest + listed


class Execution:
    """Runs prepared queries on a server."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._random = random.Random()

    async def run(self, request: Request, name: str) -> Response:
        """GET /v1/query/<name>/execute."""
        node = self._node
        options = replace(node.reads.parse(request), min_index=0)
        limit = take_limit(request)
        connect = _connect(request)

        def find(txn: ReadTxn) -> QueryResult:
            query = prepared.resolve(txn, name)
            if query is None:
                raise ServerNotFound(QUERY_NOT_FOUND)
            items = self._local(txn, request, query, connect)
            near = near_node(node, request, txn, query.service["Near"])
            if near:
                items = prepared.nearest_first(txn, near, items)
            return Read((query, items), 0, ())

        try:
            found, leader, contact = await node.reads.run(find, options)
        except (HttpError, QueryError) as error:
            if options.cached and isinstance(error, NotFound):
                # Through the agent's cache a missing query is a failure as any other.
                text = CALL_PREFIX * node.reads.calls(request, True) + str(error)
                return text_response(500, text, list(FAILED_META))
            return refused(self._node, request, error)
        query: PreparedQuery
        query, items = found.value
        meta = result_meta(leader, contact, options.level)
        datacenter, failovers = node.config.datacenter, 0
        nodes = render.query_instances(items[:limit] if limit > 0 else items)
        if not items:
            remote, failovers = await self._fail_over(request, query, limit, connect)
            if remote is not None:
                nodes, datacenter = bytes(remote.nodes), remote.datacenter
                meta["LastContact"], meta["KnownLeader"] = remote.last_contact_ns, remote.known_leader
        response = _response(query, nodes, datacenter, failovers, meta)
        if options.cached:
            node.reads.note_cache(request, response, options)
        if node.config.http.translate_wan_addrs and not request.internal:
            response.body = translated_execution(response.body, node.config.datacenter)
        known = (b"X-Consul-Knownleader", b"true" if meta["KnownLeader"] else b"false")
        age_ms = int(meta["LastContact"]) // NANOSECONDS_PER_MILLISECOND
        response.headers += [
            (b"X-Consul-Index", b"1"),
            known,
            (b"X-Consul-Lastcontact", b"%d" % age_ms),
            LEVELS[options.level],
        ]
        return response

    async def run_for_another(
        self, request: Request, query: PreparedQuery, limit: int, connect: bool, options: ReadRequest
    ) -> Response:
        """The local part of a query that another datacenter resolved: shuffled, cut, never passed on."""
        try:
            found, leader, contact = await self._node.reads.run(
                lambda txn: Read(self._local(txn, request, query, connect), 0, ()), options
            )
        except (HttpError, QueryError) as error:
            return refused(self._node, request, error)
        items: list[Instance] = found.value
        nodes = render.query_instances(items[:limit] if limit > 0 else items)
        return _response(query, nodes, self._node.config.datacenter, 0, result_meta(leader, contact, options.level))

    def _local(self, txn: ReadTxn, request: Request, query: PreparedQuery, connect: bool) -> list[Instance]:
        """This datacenter's instances in random order, as far as the query's own token, else the request's, allows."""
        asker = bearing(request, query.token) if query.token else request
        items = prepared.candidates(txn, query, connect, ReadOptions(authorizer=self._node.authorizer(asker)))
        self._random.shuffle(items)
        return items

    async def _fail_over(
        self, request: Request, query: PreparedQuery, limit: int, connect: bool
    ) -> tuple[_Remote | None, int]:
        """The last answer of the datacenters tried, the first with instances ending it, and how many were tried."""
        node = self._node
        others = datacenters_by_distance(node)[1:]
        answered: _Remote | None = None
        tried = 0
        for unknown in set(query.service["Failover"]["Datacenters"] or ()).difference(others):
            log.debug("Skipping unknown datacenter in prepared query: datacenter=%s", unknown)
        for datacenter in failover_order(query, others):
            tried += 1
            response = None
            try:
                message = _remote_request(request, query, limit, connect)
                response = await node.forwarder.send(message, datacenter, own=True)
                if response.status != 200:
                    raise HttpError(response.body.decode("utf-8", "replace"))
                answered = _decode_remote(response.body)
            except (HttpError, msgspec.DecodeError) as error:
                log.warning("Failed querying for service in datacenter: datacenter=%s error=%s", datacenter, error)
                continue
            if bytes(answered.nodes) != b"[]":
                break
        return answered, tried


def _connect(request: Request) -> bool:
    text = request.get("connect")
    if not text:
        return False
    try:
        return parse_bool(text)
    except ValueError as error:
        raise EndpointError(f"Error parsing 'connect' value: {error}") from None


def _remote_request(request: Request, query: PreparedQuery, limit: int, connect: bool) -> Request:
    """The query with its limit, consistency and token, for a server of another datacenter."""
    body = to_json({"Query": render.query_dict(query), "Limit": limit, "Connect": connect})
    flags = b"&".join(name for name in (b"stale", b"consistent") if request.has(name.decode()))
    token = request.token()
    headers = [(b"x-consul-token", token.encode("latin-1"))] if token else []
    target = REMOTE_PATH + (b"?" + flags if flags else b"")
    return Request("POST", REMOTE_PATH.decode(), flags, headers, body, request.remote_address, target, request.hops)


def _response(query: PreparedQuery, nodes: bytes, datacenter: str, failovers: int, meta: Meta) -> Response:
    rest: dict[str, Any] = {
        "DNS": {"TTL": query.dns_ttl},
        "Datacenter": datacenter,
        "Failovers": failovers,
        **meta,
    }
    head = b'{"Service":' + to_json(query.service["Service"]) + b',"Nodes":' + nodes + b","
    return json_response(head + to_json(rest)[1:])
