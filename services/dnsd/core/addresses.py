"""Addresses in names (`<hex>.addr…`) and names of addresses (`in-addr.arpa`, `ip6.arpa`)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from dnsd.core import names, records
from dnsd.core.answer import Answer, Group
from dnsd.core.context import Context
from dnsd.core.names import Name
from dnsd.core.needs import AddressOwner, Handling, Unavailable
from dnsd.core.plan import HEX_DIGITS, Plan
from dnsd.core.records import SOA
from dnsd.core.recursion import relay

ARPA: Name = (b"arpa",)
_IN_ADDR: Name = (b"in-addr", b"arpa")
_IP6: Name = (b"ip6", b"arpa")
_IP6_NIBBLES = 32
_MAX_OCTET = 255


def answer_address(context: Context, plan: Plan) -> Answer:
    """The address that the name spells, whatever type is asked."""
    if plan.address is None:
        return Answer()
    asked = context.question.folded
    owner = (*asked[: len(asked) - len(context.zone)], *context.settings.domain)
    record = records.address_record(owner, plan.address, context.settings.node_ttl_s)
    return Answer(groups=[Group((record,))], folds_owner=True)


def answer_reverse(context: Context) -> Handling:
    """Who has the address: a node, else a service; None in the answer's place is for the recursors to say."""
    address = reverse_address(context.question.folded)
    owner: str | None = None
    if address is not None:
        try:
            owner = yield AddressOwner(address)
        except Unavailable:
            owner = None
    target = None
    if owner is not None:
        target = context.settings.canonical(f"{owner}.{context.settings.datacenter}")
    if target is None:
        return (yield from relay(context))
    answer = Answer(groups=[Group((records.ptr(context.question.name, target),))])
    if context.question.kind == SOA:
        answer.authorities = [context.settings.soa(context.now_s)]
        answer.serial_s = context.now_s
    return answer


def reverse_address(folded: Name) -> str | None:
    """The address of a reverse name (RFC 1035 3.5, RFC 3596 2.5), None when it spells no whole address."""
    if names.is_under(folded, _IN_ADDR):
        return _ipv4(folded[:-2])
    if names.is_under(folded, _IP6):
        return _ipv6(folded[:-2])
    return None


def _ipv4(labels: Name) -> str | None:
    if len(labels) != 4 or not all(label.isdigit() and len(label) <= 3 for label in labels):
        return None
    octets = [int(label) for label in reversed(labels)]
    # A leading zero would make two names for one address.
    if max(octets) > _MAX_OCTET or any(
        str(octet).encode() != label for octet, label in zip(octets, reversed(labels), strict=True)
    ):
        return None
    return str(IPv4Address(bytes(octets)))


def _ipv6(labels: Name) -> str | None:
    text = b"".join(reversed(labels)).decode("latin-1")
    if len(labels) != _IP6_NIBBLES or any(len(label) != 1 for label in labels) or not HEX_DIGITS.issuperset(text):
        return None
    return str(IPv6Address(bytes.fromhex(text)))
