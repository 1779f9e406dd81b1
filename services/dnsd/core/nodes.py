"""Node lookups: `<node>.node[.<datacenter>].<domain>`, and a node's own records (Consul 1.7: dns, node)."""

from __future__ import annotations

from dnsd.core import facts, names, records
from dnsd.core.answer import Answer, Group
from dnsd.core.chain import resolve_name
from dnsd.core.context import Context
from dnsd.core.facts import NodeFacts
from dnsd.core.names import InvalidName, Name
from dnsd.core.needs import Handling, NodeNamed, RecordsMaking, Unavailable
from dnsd.core.negative import negative
from dnsd.core.plan import Plan
from dnsd.core.records import AAAA, ANY, SERVFAIL, TXT, A, Record

NODE_TYPES = frozenset({A, AAAA, ANY, TXT})
BARE_VALUE_PREFIX = "rfc1035-"
"""Meta keys that begin so give their value alone."""

FAMILIES = {A: facts.IPV4, AAAA: facts.IPV6}


def answer_node(context: Context, plan: Plan) -> Handling:
    """Address and meta records of one node, healthy or not."""
    settings, question = context.settings, context.question
    if question.kind not in NODE_TYPES:
        return Answer()
    try:
        node = yield NodeNamed(plan.name, plan.datacenter)
    except Unavailable:
        return Answer(rcode=SERVFAIL)
    if node is None:
        return negative(context)
    answers: list[Record] = []
    if question.kind != TXT:
        answers += yield from node_records(context, node, question.name, question.kind, settings.node_ttl_s)
    if question.kind in (TXT, ANY):
        answers += meta_records(node, question.name, settings.node_ttl_s)
        return Answer(groups=[Group((record,)) for record in answers])
    meta = meta_records(node, question.name, settings.node_ttl_s) if settings.node_meta_txt else []
    return Answer(groups=[Group((record,)) for record in answers], additionals=meta)


def node_records(context: Context, node: NodeFacts, owner: Name, kind: int, ttl_s: int) -> RecordsMaking:
    """The node's address under `owner`; a CNAME with what it leads to when the address is a name."""
    text = facts.node_address(node, FAMILIES.get(kind, facts.ANY_FAMILY), context.use_wan(node.datacenter))
    address = records.parse_address(text)
    if address is not None:
        record = records.address_record(owner, address.packed, ttl_s)
        return [record] if kind in (record.kind, ANY) else []
    try:
        target = names.from_text(text)
    except InvalidName:
        return []
    if not target:
        return []
    chain = yield from resolve_name(context, target)
    return [records.cname(owner, target, ttl_s), *chain]


def meta_records(node: NodeFacts, owner: Name, ttl_s: int) -> list[Record]:
    """One TXT per pair of node metadata, in the order of the keys."""
    return [
        records.txt(
            owner,
            value if key.lower().startswith(BARE_VALUE_PREFIX) else records.attribute_text(key, value),
            ttl_s,
        )
        for key, value in sorted(node.meta.items())
    ]
