"""Writes that belong to the primary datacenter, whichever agent of whichever datacenter is asked."""

from __future__ import annotations

import re
from collections.abc import Awaitable

from apid.core.message import Request, Response
from apid.core.parameters import parse_query
from apid.node.context import Node

_SEPARATORS = re.compile(rb"[&;]")


def primary_elsewhere(node: Node, request: Request) -> Awaitable[Response] | None:
    """The primary datacenter's answer when that is another one; None when this server is to answer.

    A client agent asks a server of its own datacenter, which knows where the primary one is. A `dc` in the query is
    not looked at, as Consul does not; it does not travel on either, or the primary datacenter would send the request
    back.
    """
    config = node.config
    if not config.server_mode:
        return node.forwarder.send(request)
    if config.is_secondary:
        return node.forwarder.send(without_datacenter(request), config.primary_datacenter)
    return None


def without_datacenter(request: Request) -> Request:
    """The same request without `?dc=`: whoever gets it is to answer it."""
    if not request.has("dc"):
        return request
    path, _, query = request.target.partition(b"?")
    query = b"&".join(pair for pair in _SEPARATORS.split(query) if "dc" not in parse_query(pair))
    target = path + (b"?" + query if query else b"")
    sent = Request(
        request.method,
        request.path,
        query,
        request.headers,
        request.body,
        request.remote_address,
        target,
        request.hops,
    )
    sent.internal = request.internal
    sent.calls = request.calls
    sent.tail = request.tail
    return sent
