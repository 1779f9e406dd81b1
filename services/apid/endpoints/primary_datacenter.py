"""Writes that belong to the primary datacenter, whichever agent of whichever datacenter is asked."""

from __future__ import annotations

from collections.abc import Awaitable

from apid.core.message import Request, Response
from apid.node.context import Node


def primary_elsewhere(node: Node, request: Request) -> Awaitable[Response] | None:
    """The primary datacenter's answer when that is another one; None when this server is to answer.

    A client agent asks a server of its own datacenter, which knows where the primary one is. A `dc` in the query is
    not looked at, as Consul does not.
    """
    config = node.config
    if not config.server_mode:
        return node.forwarder.send(request)
    if config.primary_datacenter and config.primary_datacenter != config.datacenter:
        return node.forwarder.send(request, config.primary_datacenter)
    return None
