"""Addresses: raw bytes on the wire, text where a person or a socket needs them."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

IPV4_LENGTH = 4
IPV6_LENGTH = 16
TEXT_CACHE_SIZE = 32_768


@lru_cache(maxsize=TEXT_CACHE_SIZE)
def to_text(raw: bytes) -> str:
    """The text of a raw address; a v4-mapped one reads as IPv4. Odd lengths read as hex, marked with `?`."""
    if len(raw) == IPV4_LENGTH:
        return f"{raw[0]}.{raw[1]}.{raw[2]}.{raw[3]}"
    if len(raw) == IPV6_LENGTH:
        address = IPv6Address(raw)
        return str(address.ipv4_mapped or address)
    return "?" + raw.hex()


def to_raw(text: str) -> bytes:
    """The raw bytes of a textual IP address. Raises ValueError when it is none."""
    return ip_address(text).packed


def is_usable(raw: bytes) -> bool:
    """Whether packets can be sent to this address at all."""
    return len(raw) in (IPV4_LENGTH, IPV6_LENGTH)
