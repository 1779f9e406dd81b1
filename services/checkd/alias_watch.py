"""Alias checks of other nodes: a blocking query on the node's checks, again and again (Consul 1.7: CheckAlias)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from checkd.core.alias import aliased
from checkd.core.effects import WatchAlias
from checkd.core.records import Check
from checkd.core.status import CRITICAL
from checkd.forward import ForwardClient, ForwardUnavailable

WAIT_S = 60
ANSWER_GRACE_S = 30
FREE_FAILURES = 3
MAX_BACKOFF_S = 60.0
FIRST_PAUSE_S = 0.25
MIN_PAUSE_S = 0.05


def backoff_s(failures: int) -> float:
    """The pause after so many failures in a row: short for the first few, then doubling from 2 s up to a minute."""
    if failures <= FREE_FAILURES:
        return FIRST_PAUSE_S
    return min(float(2 ** (failures - FREE_FAILURES)), MAX_BACKOFF_S)


async def watch_alias(watch: WatchAlias, forward: ForwardClient, report: Callable[[str, str], None]) -> None:
    """Report status and output now and after every change, until cancelled.

    Without a token of the check's own, apid takes the agent's default token.
    """
    index, failures = 0, 0
    path = f"/v1/health/node/{quote(watch.node, safe='')}"
    while True:
        query = f"stale&wait={WAIT_S}s&index={index}" if index else "stale"
        try:
            answer = await forward.request(
                "GET", path, query=query, token=watch.acl_token, timeout_s=WAIT_S + ANSWER_GRACE_S
            )
            if answer.status != 200:
                raise ForwardUnavailable(answer.text() or f"status {answer.status}")
            found = [_check(raw) for raw in json.loads(answer.body) or []]
            new_index = int(answer.headers.get("x-consul-index", "0"))
        except (ForwardUnavailable, ValueError, KeyError) as error:
            failures += 1
            index = 0
            if failures > 1:
                report(CRITICAL, f"Failure checking {watch.node!r}: {error}")
            await asyncio.sleep(backoff_s(failures))
            continue
        failures = 0
        index = new_index if new_index >= index else 0
        report(*aliased(found, watch.service_id, watch.check_id))
        await asyncio.sleep(MIN_PAUSE_S)


def _check(raw: dict[str, Any]) -> Check:
    return Check(
        check_id=raw["CheckID"],
        name=raw.get("Name") or "",
        status=raw.get("Status") or CRITICAL,
        output=raw.get("Output") or "",
        service_id=raw.get("ServiceID") or "",
    )
