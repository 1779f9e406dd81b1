"""Follows the configuration entries that proxies inherit from, by blocking queries through apid."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from checkd.alias_watch import backoff_s
from checkd.forward import ForwardClient, ForwardUnavailable

WAIT_S = 60
ANSWER_GRACE_S = 30
MIN_PAUSE_S = 0.05
PROXY_DEFAULTS, SERVICE_DEFAULTS = "proxy-defaults", "service-defaults"
GLOBAL_NAME = "global"


class ConfigWatch:
    """The entries as last seen; `on_change` is called when they differ from before."""

    def __init__(self, forward: ForwardClient, token: Callable[[], str], on_change: Callable[[], None]) -> None:
        self._forward = forward
        self._token = token
        self._on_change = on_change
        self._kinds: dict[str, dict[str, dict[str, Any]]] = {PROXY_DEFAULTS: {}, SERVICE_DEFAULTS: {}}

    @property
    def proxy_defaults(self) -> dict[str, Any] | None:
        """The defaults of all proxies."""
        return self._kinds[PROXY_DEFAULTS].get(GLOBAL_NAME)

    @property
    def service_defaults(self) -> dict[str, dict[str, Any]]:
        """The defaults of services by name."""
        return self._kinds[SERVICE_DEFAULTS]

    async def run(self) -> None:
        """Follow both kinds until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in self._kinds:
                group.create_task(self._follow(kind))

    async def _follow(self, kind: str) -> None:
        index, failures = 0, 0
        while True:
            query = f"stale&wait={WAIT_S}s&index={index}" if index else "stale"
            try:
                answer = await self._forward.request(
                    "GET", f"/v1/config/{kind}", query=query, token=self._token(), timeout_s=WAIT_S + ANSWER_GRACE_S
                )
                if answer.status != 200:
                    raise ForwardUnavailable(answer.text())
                found = {entry["Name"]: entry for entry in json.loads(answer.body) or []}
                new_index = int(answer.headers.get("x-consul-index", "0"))
            except (ForwardUnavailable, ValueError, KeyError, TypeError):
                # Nothing depends on it at once, and the syncer reports an apid that is away.
                failures += 1
                index = 0
                await asyncio.sleep(backoff_s(failures))
                continue
            failures = 0
            index = new_index if new_index >= index else 0
            if found != self._kinds[kind]:
                self._kinds[kind] = found
                self._on_change()
            await asyncio.sleep(MIN_PAUSE_S)
