"""Resource records as values, and how each type is made.

A record's data is a tuple of raw bytes and names; the encoder (`message.py`) compresses only the names of the types
that RFC 3597 section 4 allows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

from dnsd.core.names import Name

A = 1
NS = 2
CNAME = 5
SOA = 6
PTR = 12
TXT = 16
AAAA = 28
SRV = 33
OPT = 41
DS = 43
AXFR = 252
ANY = 255

IN = 1

NOERROR = 0
FORMERR = 1
SERVFAIL = 2
NXDOMAIN = 3
NOTIMP = 4
REFUSED = 5

COMPRESSIBLE = frozenset({NS, CNAME, SOA, PTR})
MAX_STRING_BYTES = 255
MAX_TTL_S = 0x7FFFFFFF
SRV_PRIORITY = 1
MAX_UINT16 = 0xFFFF
REMEMBERED_ADDRESSES = 32768

_srv_head = struct.Struct("!HHH").pack
_soa_numbers = struct.Struct("!IIIII").pack


class Record(msgspec.Struct, frozen=True, gc=False):
    """One resource record of class IN."""

    owner: Name
    kind: int
    ttl_s: int
    parts: tuple[bytes | Name, ...]


@lru_cache(maxsize=REMEMBERED_ADDRESSES)
def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The IP address, None for anything else (a host name, nothing)."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.scope_id is not None:
            return None
    return address


def address_record(owner: Name, packed: bytes, ttl_s: int) -> Record:
    """A for 4 bytes, AAAA for 16."""
    return Record(owner, A if len(packed) == 4 else AAAA, ttl_s, (packed,))


def srv(owner: Name, weight: int, port: int, target: Name, ttl_s: int) -> Record:
    """RFC 2782; every instance has the same priority."""
    return Record(owner, SRV, ttl_s, (_srv_head(SRV_PRIORITY, weight & MAX_UINT16, port & MAX_UINT16), target))


def cname(owner: Name, target: Name, ttl_s: int) -> Record:
    return Record(owner, CNAME, ttl_s, (target,))


def ns(owner: Name, target: Name, ttl_s: int) -> Record:
    return Record(owner, NS, ttl_s, (target,))


def ptr(owner: Name, target: Name, ttl_s: int = 0) -> Record:
    return Record(owner, PTR, ttl_s, (target,))


def soa(owner: Name, primary: Name, mailbox: Name, numbers: Iterable[int], ttl_s: int) -> Record:
    """`numbers` are serial, refresh, retry, expire and minimum (RFC 1035 3.3.13)."""
    return Record(owner, SOA, ttl_s, (primary, mailbox, _soa_numbers(*numbers)))


def txt(owner: Name, text: str, ttl_s: int) -> Record:
    """One text; beyond 255 bytes it goes into several strings of one record."""
    raw = text.encode("utf-8", "surrogatepass")
    strings = [raw[start : start + MAX_STRING_BYTES] for start in range(0, len(raw), MAX_STRING_BYTES)] or [b""]
    return Record(owner, TXT, ttl_s, (b"".join([bytes((len(string),)) + string for string in strings]),))


def attribute_text(key: str, value: str) -> str:
    """`key=value` with RFC 1464's quoting: grave accents doubled, `=` and outer blanks of the key quoted."""
    quoted = key.replace("`", "``").replace("=", "`=")
    core = quoted.strip(" ")
    leading = len(quoted) - len(quoted.lstrip(" "))
    trailing = len(quoted) - leading - len(core)
    return "` " * leading + core + "` " * trailing + "=" + value.replace("`", "``")


def unpack_address(packed: bytes) -> IPv4Address | IPv6Address:
    """The address of 4 or 16 bytes."""
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
