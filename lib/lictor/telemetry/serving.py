"""The metrics of one daemon while it runs: intervals, the gRPC service, sinks. One call for every daemon's wiring."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import grpc

from lictor.config.runtime import RuntimeConfig, TelemetryConfig
from lictor.pb.lictor.v1 import metrics_pb2, metrics_pb2_grpc
from lictor.rpc import DaemonServer
from lictor.telemetry.collecting import message_of
from lictor.telemetry.naming import has_external_sink, naming_of
from lictor.telemetry.process import ProcessFigures
from lictor.telemetry.registry import INTERVAL_S, PROCESS, Registry
from lictor.telemetry.statsd import Sinks

METRICS_SERVICE = "lictor.v1.Metrics"


class MetricsServicer(metrics_pb2_grpc.MetricsServicer):
    """Tells apid what this process counted."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def Collect(
        self, request: metrics_pb2.CollectRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> metrics_pb2.CollectResponse:
        """See metrics.proto."""
        return message_of(self._registry, time.time(), INTERVAL_S)


class DaemonMetrics:
    """Counts for one daemon from `start` to `stop`. Make it before its server starts, so that the service is in it."""

    def __init__(self, daemon: str, server: DaemonServer, config: RuntimeConfig, registry: Registry = PROCESS) -> None:
        self.registry = registry
        telemetry = config.telemetry
        registry.make_all(daemon, config.node_name)
        if has_external_sink(telemetry):
            registry.remember_values()
        metrics_pb2_grpc.add_MetricsServicer_to_server(  # type: ignore[no-untyped-call]
            MetricsServicer(registry), server.server
        )
        server.tell_of(METRICS_SERVICE)
        self._process = ProcessFigures(registry)
        self._sinks = Sinks(telemetry, registry, naming_of(telemetry))
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin intervals and sinks in the running loop."""
        self._process.start()
        self._task = asyncio.get_running_loop().create_task(self._roll())
        self._sinks.start()

    def reconfigure(self, config: TelemetryConfig) -> None:
        """Take over changed filters."""
        self._sinks.naming = naming_of(config)

    async def stop(self) -> None:
        """End both; the sinks get what was counted last."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            self._process.stop()
        await self._sinks.stop()

    async def _roll(self) -> None:
        """At every full ten seconds of the wall clock, like all daemons and hosts, so that figures can be compared."""
        boundary_s = next_boundary_s(time.time())
        while True:
            await asyncio.sleep(max(boundary_s - time.time(), 0.0))
            self.registry.roll(boundary_s - INTERVAL_S)
            following_s = next_boundary_s(time.time())
            # A sleep may end a moment early.
            boundary_s = following_s + INTERVAL_S if following_s == boundary_s else following_s


def next_boundary_s(now_s: float) -> int:
    """When the interval ends that a moment lies in."""
    return (int(now_s // INTERVAL_S) + 1) * INTERVAL_S
