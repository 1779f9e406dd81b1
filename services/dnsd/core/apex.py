"""SOA and NS of the domain (Consul 1.7: dns, apex)."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

from dnsd.core import records
from dnsd.core.answer import Answer, Group
from dnsd.core.context import Context
from dnsd.core.needs import Handling, ServiceInstances, Unavailable
from dnsd.core.nodes import node_records
from dnsd.core.records import Record

SERVER_SERVICE = "consul"
MAX_NAME_SERVERS = 3

_ODD_NODE_NAME = re.compile(r"[^A-Za-z0-9\\-]")


def answer_soa(context: Context) -> Handling:
    """The SOA with the name servers, for any name in the domain."""
    servers, glue = yield from _name_servers(context)
    return Answer(
        groups=[Group((context.settings.soa(context.now_s),))],
        authorities=servers,
        additionals=glue,
        serial_s=context.now_s,
        keeps=False,
    )


def answer_ns(context: Context) -> Handling:
    """Up to three servers with their addresses."""
    servers, glue = yield from _name_servers(context)
    return Answer(groups=[Group((server,)) for server in servers], additionals=glue, keeps=False)


def _name_servers(context: Context) -> Generator[Any, Any, tuple[list[Record], list[Record]]]:
    settings = context.settings
    try:
        instances = yield ServiceInstances(SERVER_SERVICE, "", settings.datacenter)
    except Unavailable:
        instances = []
    usable = [instance for instance in instances if instance.is_usable(settings.only_passing)]
    context.shuffle(usable)
    servers: list[Record] = []
    glue: list[Record] = []
    for instance in usable:
        node = instance.node
        if _ODD_NODE_NAME.search(node.node):
            continue
        target = settings.node_name_in(node.node.lower(), node.datacenter.lower())
        if target is None:
            continue
        servers.append(records.ns(settings.domain, target, settings.node_ttl_s))
        glue += yield from node_records(context, node, target, records.ANY, settings.node_ttl_s)
        if len(servers) == MAX_NAME_SERVERS:
            break
    return servers, glue
