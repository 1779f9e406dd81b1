"""Service, connect and prepared query lookups (Consul 1.7: dns, service)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any

import msgspec

from dnsd.core import facts, names, records
from dnsd.core.answer import Answer, Group
from dnsd.core.chain import CHAIN_KINDS, resolve_name
from dnsd.core.context import Context
from dnsd.core.facts import CRITICAL, Instance, QueryResult
from dnsd.core.names import InvalidName, Name
from dnsd.core.needs import Handling, QueryExecution, ServiceInstances, Unavailable
from dnsd.core.negative import negative
from dnsd.core.nodes import FAMILIES, meta_records
from dnsd.core.plan import Kind, Plan
from dnsd.core.question import FAMILY_IPV4, FAMILY_IPV6
from dnsd.core.records import AAAA, ANY, NOERROR, SERVFAIL, SRV, TXT, A, Record

ADDRESS_KINDS = {A: frozenset({A}), AAAA: frozenset({AAAA}), ANY: frozenset({A, AAAA}), TXT: frozenset({A, AAAA})}
"""Which address records answer which type; TXT gets both (recorded)."""
NO_KINDS: frozenset[int] = frozenset()
MAX_CHAIN_RECORDS = 5
"""How many records of what an instance's name leads to are sent to who did not use EDNS."""
SHARE = 512
"""Instances put in random order at a time."""
LEAST_ADDRESS_BYTES = 16
"""The smallest A record, its owner a pointer."""
LEAST_SRV_BYTES = 20
ROTATED_GROUPS = 257
"""One more than are rotated one by one (`cache.py`)."""

Making = Generator[Any, Any, Group | None]


def answer_service(context: Context, plan: Plan) -> Handling:
    """The healthy instances of a service, in rotation."""
    if not plan.name:
        # `_._tcp…`: a question that cannot be asked, not a service that is missing.
        return Answer(rcode=SERVFAIL)
    try:
        found = yield ServiceInstances(plan.name, plan.tag, plan.datacenter, plan.kind is Kind.CONNECT)
    except Unavailable:
        return Answer(rcode=SERVFAIL)
    if context.settings.only_passing:
        usable = [instance for instance in found if instance.is_usable(only_passing=True)]
    else:
        usable = [instance for instance in found if CRITICAL not in instance.statuses]
    if not usable:
        return negative(context)
    ttl_s = context.settings.service_ttl_s(plan.name)
    answer = yield from _answer_instances(context, in_chance_order(context, usable), plan.datacenter, ttl_s)
    answer.rotates = True
    return answer


def in_chance_order(context: Context, instances: list[Instance]) -> Iterator[Instance]:
    """Every instance once, in an order in which each is equally likely to come first.

    A long list is dealt into shares, which are put in order one after the other as they are reached: an answer that
    takes a few hundred of ten thousand does not pay for the rest.
    """
    shares = max(1, len(instances) // SHARE)
    order = list(range(shares))
    context.shuffle(order)
    for number in order:
        share = instances[number::shares]
        context.shuffle(share)
        yield from share


def enough_groups(context: Context) -> int:
    """More groups than one packet can hold, and than a kept answer has rotations to show."""
    least_bytes = LEAST_SRV_BYTES if context.question.kind == SRV else LEAST_ADDRESS_BYTES
    return max(context.budget_bytes // least_bytes + 1, ROTATED_GROUPS)


def answer_query(context: Context, plan: Plan) -> Handling:
    """What executing a prepared query gives, in its order."""
    try:
        result: QueryResult | None = yield QueryExecution(plan.name, plan.datacenter, _source_address(context))
    except Unavailable:
        return msgspec.structs.replace(Answer(rcode=SERVFAIL), subnet_global=False)
    if result is None or not result.instances:
        answer = negative(context)
    else:
        ttl_s = result.ttl_s if result.ttl_s is not None else context.settings.service_ttl_s(result.service)
        answer = yield from _answer_instances(context, result.instances, result.datacenter, ttl_s)
    answer.subnet_global = False
    return answer


def _source_address(context: Context) -> str:
    """Whom a `near=_ip` query is for: the client subnet's address, else the client."""
    subnet = context.question.subnet
    if subnet is None or subnet.family not in (FAMILY_IPV4, FAMILY_IPV6):
        return context.client_address
    return str(records.unpack_address(subnet.address))


def _answer_instances(context: Context, instances: Iterable[Instance], datacenter: str, ttl_s: int) -> Handling:
    if context.question.kind == SRV:
        groups = yield from _srv_groups(context, instances, datacenter, ttl_s)
        return _limited(context, groups, 0)
    groups, chains = yield from _address_groups(context, instances, datacenter, ttl_s)
    if not groups and chains:
        return _limited(context, chains, 1)
    return _limited(context, groups, max(context.settings.a_record_limit, 0))


def _limited(context: Context, groups: list[Group], group_limit: int) -> Answer:
    if not groups:
        return negative(context, NOERROR)
    return Answer(groups=groups, trims=True, group_limit=group_limit)


def _address_groups(
    context: Context, instances: Iterable[Instance], datacenter: str, ttl_s: int
) -> Generator[Any, Any, tuple[list[Group], list[Group]]]:
    """Groups of address records, each once, and groups that begin with a CNAME."""
    groups: dict[tuple[bytes | Name, ...], Group] = {}
    chains: dict[tuple[bytes | Name, ...], Group] = {}
    seen: set[tuple[str, str]] = set()
    enough, family = enough_groups(context), FAMILIES.get(context.question.kind, facts.ANY_FAMILY)
    use_wan = context.use_wan(datacenter)
    for instance in instances:
        at_node = facts.node_address(instance.node, family, context.use_wan(instance.node.datacenter))
        place = (facts.service_address(instance, family, use_wan), at_node)
        if place in seen:
            continue
        seen.add(place)
        group = yield from _instance_group(context, instance, datacenter, ttl_s)
        if group is not None:
            first = group.answers[0]
            (chains if first.kind == records.CNAME else groups).setdefault(first.parts, group)
            if len(groups) >= enough:
                break
    return list(groups.values()), list(chains.values())


def _srv_groups(
    context: Context, instances: Iterable[Instance], datacenter: str, ttl_s: int
) -> Generator[Any, Any, list[Group]]:
    groups: dict[tuple[str, str, int], Group] = {}
    enough = enough_groups(context)
    use_wan = context.use_wan(datacenter)
    for instance in instances:
        address = facts.service_address(instance, facts.ANY_FAMILY, use_wan)
        key = (instance.node.node, address, facts.service_port(instance, use_wan))
        if key in groups:
            continue
        group = yield from _instance_group(context, instance, datacenter, ttl_s)
        if group is not None:
            groups[key] = _with_meta(context, group, instance, datacenter, ttl_s)
            if len(groups) >= enough:
                break
    return list(groups.values())


def _with_meta(context: Context, group: Group, instance: Instance, datacenter: str, ttl_s: int) -> Group:
    if not context.settings.node_meta_txt or not instance.node.meta:
        return group
    owner = context.settings.node_name_in(instance.node.node, datacenter)
    if owner is None:
        return group
    return Group(group.answers, (*group.additionals, *meta_records(instance.node, owner, ttl_s)))


def _instance_group(context: Context, instance: Instance, datacenter: str, ttl_s: int) -> Making:
    """One instance's records, None when it has none of the asked type."""
    family = FAMILIES.get(context.question.kind, facts.ANY_FAMILY)
    use_wan = context.use_wan(datacenter)
    own = facts.service_address(instance, family, use_wan)
    at_node = facts.node_address(instance.node, family, context.use_wan(instance.node.datacenter))
    node_address = records.parse_address(at_node)
    if not own:
        if node_address is None:
            return (yield from _name_group(context, instance, at_node, datacenter, ttl_s))
        target = None
        if at_node == instance.node.address:
            target = context.settings.node_name_in(instance.node.node, datacenter)
        return _address_group(context, instance, node_address.packed, target, datacenter, ttl_s)
    address = records.parse_address(own)
    if address is not None:
        return _address_group(context, instance, address.packed, None, datacenter, ttl_s)
    if node_address is not None and _is_asked_name(context, own):
        target = context.settings.node_name_in(instance.node.node, datacenter)
        return _address_group(context, instance, node_address.packed, target, datacenter, ttl_s)
    return (yield from _name_group(context, instance, own, datacenter, ttl_s))


def _is_asked_name(context: Context, text: str) -> bool:
    """Whether a service's address is the very name being asked for: a CNAME to itself would never end."""
    try:
        return names.fold(names.from_text(text)) == context.question.folded
    except InvalidName:
        return False


def _address_group(
    context: Context, instance: Instance, packed: bytes, target: Name | None, datacenter: str, ttl_s: int
) -> Group | None:
    """Records for an IP address; `target` names it for SRV, None for the `<hex>.addr` form."""
    question = context.question
    if question.kind != SRV:
        record = records.address_record(question.name, packed, ttl_s)
        return Group((record,)) if record.kind in ADDRESS_KINDS.get(question.kind, NO_KINDS) else None
    if target is None:
        target = context.settings.canonical(f"{packed.hex()}.addr.{datacenter}")
    if target is None:
        return None
    return Group(
        (_srv_record(context, instance, target, datacenter, ttl_s),),
        (records.address_record(target, packed, ttl_s),),
    )


def _srv_record(context: Context, instance: Instance, target: Name, datacenter: str, ttl_s: int) -> Record:
    port = facts.service_port(instance, context.use_wan(datacenter))
    return records.srv(context.question.name, instance.weight, port, target, ttl_s)


def _name_group(context: Context, instance: Instance, text: str, datacenter: str, ttl_s: int) -> Making:
    """Records for an address that is a name: a CNAME (or SRV target) and what it leads to."""
    try:
        target = names.from_text(text)
    except InvalidName:
        return None
    if not target:
        return None
    found: list[Record] = yield from resolve_name(context, target)
    usable = [record for record in found if record.kind in CHAIN_KINDS]
    if not context.question.edns:
        usable = usable[:MAX_CHAIN_RECORDS]
    chain = tuple([msgspec.structs.replace(record, ttl_s=ttl_s) for record in usable])
    if context.question.kind == SRV:
        return Group((_srv_record(context, instance, target, datacenter, ttl_s),), chain)
    return Group((records.cname(context.question.name, target, ttl_s), *chain))
