"""Opening sockets to what is checked, with errors in the words that Go's net package uses."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket

_REASONS = {
    errno.ECONNREFUSED: "connection refused",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ECONNRESET: "connection reset by peer",
    errno.ETIMEDOUT: "connection timed out",
    errno.EADDRNOTAVAIL: "cannot assign requested address",
    errno.EPIPE: "broken pipe",
    errno.EACCES: "permission denied",
    errno.ENOENT: "no such file or directory",
}


class DialError(Exception):
    """Nothing answers there; the text is what the check shows."""


def reason_of(error: OSError) -> str:
    """An operating system error as Go words it."""
    if error.errno in _REASONS:
        return _REASONS[error.errno]
    return (os.strerror(error.errno) if error.errno else str(error)).lower()


def split_address(address: str, default_port: int = 0) -> tuple[str, int]:
    """Host and port of `host:port`, `[v6]:port` or a bare host; raises DialError."""
    host, separator, port = address.rpartition(":")
    if not separator or (":" in host and not host.startswith("[")) or address.endswith("]"):
        if default_port:
            return address.strip("[]"), default_port
        raise DialError(f"dial tcp: address {address}: missing port in address")
    if port and not port.isdecimal():
        raise DialError(f"dial tcp: address tcp/{port}: unknown port")
    if not port or int(port) > 65535:
        raise DialError(f"dial tcp: address {port}: invalid port" if port else f"dial tcp: address {address}: no port")
    return host.strip("[]"), int(port)


def joined(host: str, port: int) -> str:
    """`host:port`, IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def resolve(host: str, port: int, kind: int) -> list[tuple[int, tuple[str, int]]]:
    """Family and socket address of every address of a host; no look-up for literal ones; raises DialError."""
    try:
        literal = ipaddress.ip_address(host or "127.0.0.1")
    except ValueError:
        pass
    else:
        family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
        return [(family, (str(literal), port))]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=kind)
    except OSError:
        raise DialError(f"dial tcp: lookup {host}: no such host") from None
    return [(entry[0], (str(entry[4][0]), int(entry[4][1]))) for entry in found]


async def dial_tcp(host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket to the first address that answers; raises DialError."""
    loop = asyncio.get_running_loop()
    last = ""
    for family, address in await resolve(host, port, socket.SOCK_STREAM):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            await loop.sock_connect(connection, address)
        except OSError as error:
            connection.close()
            shown = joined(*address) if host else f":{port}"
            last = last or f"dial tcp {shown}: connect: {reason_of(error)}"
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise DialError(last or f"dial tcp: lookup {host}: no such host")


async def dial_unix(path: str) -> socket.socket:
    """A connected, non-blocking socket to a Unix socket; raises DialError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, path)
    except OSError as error:
        connection.close()
        raise DialError(f"dial unix {path}: connect: {reason_of(error)}") from None
    except BaseException:
        connection.close()
        raise
    return connection
