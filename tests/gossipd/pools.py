"""Real pools on loopback addresses of their own: the driver with real sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from gossipd.core.address import to_raw
from gossipd.core.config import MILLISECOND_NS, PoolConfig, local
from gossipd.core.keyring import Keyring
from gossipd.core.policy import OpenPolicy, Policy
from gossipd.driver import PoolDriver, PoolSetup

PORT = 27946


def quick_config(name: str, host: str, **changes: Any) -> PoolConfig:
    """The profile for one machine, with a failure detector that needs a second instead of several."""
    config = replace(
        local(name, to_raw(host), PORT),
        probe_interval_ns=200 * MILLISECOND_NS,
        probe_timeout_ns=100 * MILLISECOND_NS,
        gossip_interval_ns=50 * MILLISECOND_NS,
        leave_propagate_delay_ns=500 * MILLISECOND_NS,
    )
    return replace(config, **changes)


def setup(
    name: str,
    host: str,
    *,
    key: bytes | None = None,
    tags: dict[str, str] | None = None,
    policy: Policy | None = None,
    directory: Path | None = None,
    **changes: Any,
) -> PoolSetup:
    return PoolSetup(
        quick_config(name, host, **changes),
        host,
        PORT,
        policy or OpenPolicy(),
        tags or {},
        "agent.test",
        name,
        directory / f"{name}.snapshot" if directory else None,
        directory / f"{name}.keyring" if directory else None,
        Keyring((key,) if key else ()),
    )


@asynccontextmanager
async def running(pool_setup: PoolSetup, seed: int = 1) -> AsyncIterator[PoolDriver]:
    """A started pool, stopped at the end."""
    driver = PoolDriver(pool_setup, Random(seed))
    await driver.start()
    try:
        yield driver
    finally:
        await driver.stop()


def statuses(driver: PoolDriver) -> dict[str, str]:
    """Member name to status, in lower case."""
    return {member.name: member.status.name.lower() for member in driver.members()}
