"""Join addresses resolved (`host`, `host:port`, `[v6]:port`, names of DNS), and dial errors worded as Go does."""

import asyncio
import errno
import ipaddress
import socket

RESOLVE_TIMEOUT_S = 10.0
MAX_ADDRESSES_PER_NAME = 64
MAX_PORT = 65_535

_CONNECT_ERRORS = {
    errno.ECONNREFUSED: "connect: connection refused",
    errno.EHOSTUNREACH: "connect: no route to host",
    errno.ENETUNREACH: "connect: network is unreachable",
    errno.ECONNRESET: "read: connection reset by peer",
    errno.ETIMEDOUT: "i/o timeout",
}


class AddressError(ValueError):
    """A join address that names no host; the text is Consul's."""


def split_address(address: str, default_port: int) -> tuple[str, int]:
    """Host and port. Raises AddressError."""
    text = address.strip()
    try:
        return str(ipaddress.ip_address(text.strip("[]"))), default_port
    except ValueError:
        pass
    host, colon, port_text = text.rpartition(":")
    if not colon:
        host, port = text, default_port
    elif port_text.isascii() and port_text.isdigit() and int(port_text) <= MAX_PORT:
        port = int(port_text)
    else:
        raise AddressError(f'Failed to resolve {address}: invalid port "{port_text}"')
    host = host.removeprefix("[").removesuffix("]")
    if not host:
        raise AddressError(f"Failed to resolve {address}: lookup : no such host")
    return host, port


async def resolve(address: str, default_port: int) -> list[tuple[str, int]]:
    """Every IP of the address. Raises AddressError."""
    host, port = split_address(address, default_port)
    try:
        return [(str(ipaddress.ip_address(host)), port)]
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    try:
        found = await asyncio.wait_for(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM), RESOLVE_TIMEOUT_S)
    except TimeoutError:
        raise AddressError(f"Failed to resolve {address}: lookup {host}: i/o timeout") from None
    except (socket.gaierror, UnicodeError):
        raise AddressError(f"Failed to resolve {address}: lookup {host}: no such host") from None
    hosts = dict.fromkeys(str(entry[4][0]) for entry in found)
    return [(ip, port) for ip in list(hosts)[:MAX_ADDRESSES_PER_NAME]]


def join_host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def dial_error(host: str, port: int, error: BaseException) -> str:
    """Why a connection could not be made or used."""
    target = join_host_port(host, port)
    if isinstance(error, TimeoutError):
        return f"dial tcp {target}: i/o timeout"
    if isinstance(error, OSError) and error.errno in _CONNECT_ERRORS:
        return f"dial tcp {target}: {_CONNECT_ERRORS[error.errno]}"
    return f"dial tcp {target}: {error}"
