"""Questions for addresses of names outside our domain, and the records that recursors answer them with."""

from __future__ import annotations

import dns.exception
import dns.message
import dns.name
import dns.rdatatype

from dnsd.core.chain import CHAIN_KINDS
from dnsd.core.names import Name
from dnsd.core.records import CNAME, Record


class Malformed(Exception):
    """A recursor's answer that is none."""


def question(name: Name) -> bytes:
    """The packet that asks for the name's A records."""
    return dns.message.make_query(dns.name.Name([*name, b""]), dns.rdatatype.A).to_wire()


def records(reply: bytes) -> list[Record]:
    """The CNAME and address records of an answer. Raises Malformed."""
    found: list[Record] = []
    try:
        sets = dns.message.from_wire(reply, ignore_trailing=True, one_rr_per_rrset=True).answer
    except dns.exception.DNSException as error:
        raise Malformed(str(error)) from error
    for rrset in sets:
        owner = _labels(rrset.name)
        for data in rrset:
            if rrset.rdtype not in CHAIN_KINDS:
                continue
            part: bytes | Name = _labels(data.target) if rrset.rdtype == CNAME else data.to_wire() or b""
            found.append(Record(owner, int(rrset.rdtype), rrset.ttl, (part,)))
    return found


def _labels(name: dns.name.Name) -> Name:
    return tuple(label for label in name.labels if label)
