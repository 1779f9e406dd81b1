"""Sends the node's network coordinate into the catalog, at a rate that the cluster as a whole bears (Consul 1.7)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from random import Random

from checkd.catalog import Catalog, CatalogDenied, CatalogError
from checkd.core.coordinate_pace import coordinate_wait_ns
from checkd.forward import ForwardUnavailable
from checkd.gossip import Membership
from lictor.config.runtime import CoordinateConfig

SECOND_NS = 1_000_000_000

log = logging.getLogger("agent")


async def send_coordinates(
    catalog: Callable[[], Catalog],
    membership: Membership,
    config: CoordinateConfig,
    nodes: Callable[[], int],
    token: Callable[[], str],
    random: Random,
) -> None:
    """Send again and again until cancelled; failures are logged and the next round tries again."""
    while True:
        wait_ns = coordinate_wait_ns(random, nodes(), config.sync_interval_min_ns, config.sync_rate_target)
        await asyncio.sleep(wait_ns / SECOND_NS)
        coordinate = await membership.coordinate()
        if coordinate is None:
            continue
        try:
            await catalog().update_coordinate(coordinate, token())
        except CatalogDenied as error:
            if "Permission denied" in str(error):
                accessor_id = await catalog().accessor_id(token())
                log.warning("Coordinate update blocked by ACLs: accessorID=%s", accessor_id)
            else:
                log.error("Coordinate update error: error=%s", json.dumps(str(error)))
        except (CatalogError, ForwardUnavailable) as error:
            log.error("Coordinate update error: error=%s", json.dumps(str(error)))
