"""UDP checks (as later Consul versions have): critical only when the port refuses; silence is not a failure."""

from __future__ import annotations

import asyncio
import socket

from checkd.core.status import CRITICAL, PASSING
from checkd.runners.dialing import DialError, joined, reason_of, resolve, split_address
from checkd.runners.result import Result, Run

PROBE = b"\n"
MAX_REPLY_BYTES = 65536


async def run_udp(run: Run) -> Result:
    """Send a datagram and wait for an answer, a refusal, or the end of the time."""
    address = run.definition.udp
    success = Result(PASSING, f"UDP connect {address}: Success")
    loop = asyncio.get_running_loop()
    try:
        host, port = split_address(address)
        family, target = (await resolve(host, port, socket.SOCK_DGRAM))[0]
    except DialError as error:
        return Result(CRITICAL, str(error).replace("dial tcp", "dial udp"))
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.setblocking(False)
        try:
            async with asyncio.timeout(run.timeout_s()):
                await loop.sock_connect(connection, target)
                await loop.sock_sendall(connection, PROBE)
                await loop.sock_recv(connection, MAX_REPLY_BYTES)
        except TimeoutError:
            return success
        except OSError as error:
            return Result(CRITICAL, f"read udp {joined(*target)}: {reason_of(error)}")
    return success
