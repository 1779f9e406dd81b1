"""The IP addresses of this machine's network interfaces, from the kernel (rtnetlink)."""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import NamedTuple

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_RTM_GETADDR = 22
_RTM_NEWADDR = 20
_NLMSG_DONE = 3
_NLMSG_ERROR = 2
_NLM_F_REQUEST_DUMP = 0x301
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_NETLINK_ROUTE = 0
_HEADER = struct.Struct("=IHHII")
_IFADDRMSG = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE_BYTES = 1 << 16
_TIMEOUT_S = 2.0


class InterfaceAddress(NamedTuple):
    """One address of one interface."""

    interface: str
    address: IPAddress
    prefix_length: int


def addresses() -> list[InterfaceAddress]:
    """Every address of every interface, in the kernel's order. Raises OSError when the kernel cannot be asked."""
    found: list[InterfaceAddress] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as kernel:
        kernel.settimeout(_TIMEOUT_S)
        kernel.bind((0, 0))
        kernel.send(_HEADER.pack(_HEADER.size + 4, _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0) + bytes(4))
        while True:
            if not parse(kernel.recv(_RECEIVE_BYTES), found):
                return found


def parse(datagram: bytes, found: list[InterfaceAddress]) -> bool:
    """Add the addresses of one netlink datagram to `found`; returns whether more datagrams follow."""
    while len(datagram) >= _HEADER.size:
        length, kind, _, _, _ = _HEADER.unpack_from(datagram)
        if kind == _NLMSG_DONE:
            return False
        if kind == _NLMSG_ERROR:
            raise OSError("the kernel refused to list addresses")
        if kind == _RTM_NEWADDR and (address := _address(datagram[_HEADER.size : length])) is not None:
            found.append(address)
        datagram = datagram[(length + 3) & ~3 :]
    return True


def _address(body: bytes) -> InterfaceAddress | None:
    _, prefix_length, _, _, index = _IFADDRMSG.unpack_from(body)
    packed = local = b""
    at = _IFADDRMSG.size
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        value = body[at + _ATTRIBUTE.size : at + length]
        if kind == _IFA_ADDRESS:
            packed = value
        elif kind == _IFA_LOCAL:
            local = value
        at += max((length + 3) & ~3, _ATTRIBUTE.size)
    if not (local or packed):
        return None
    return InterfaceAddress(socket.if_indextoname(index), ipaddress.ip_address(local or packed), prefix_length)
