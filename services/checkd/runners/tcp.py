"""TCP checks: passing when a connection opens."""

from __future__ import annotations

import asyncio

from checkd.core.status import CRITICAL, PASSING
from checkd.runners.dialing import DialError, dial_tcp, joined, split_address
from checkd.runners.result import Result, Run


async def run_tcp(run: Run) -> Result:
    """Connect and close."""
    address = run.definition.tcp
    try:
        host, port = split_address(address)
        async with asyncio.timeout(run.timeout_s()):
            connection = await dial_tcp(host, port)
    except DialError as error:
        return Result(CRITICAL, str(error))
    except TimeoutError:
        return Result(CRITICAL, f"dial tcp {joined(host, port)}: i/o timeout")
    connection.close()
    return Result(PASSING, f"TCP connect {address}: Success")
