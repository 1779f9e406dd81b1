"""The internal gRPC server: health and reflection, by which supervisor and tools see that dnsd serves, and metrics."""

from __future__ import annotations

from lictor.config.runtime import RuntimeConfig, TelemetryConfig
from lictor.rpc import DaemonServer
from lictor.telemetry.serving import DaemonMetrics

SERVICE = "dnsd"


class StatusServer:
    """A daemon server with the services that every daemon has."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._config = config
        self._server: DaemonServer | None = None
        self._metrics: DaemonMetrics | None = None

    async def start(self) -> None:
        """Listen on loopback and write the run file."""
        self._server = DaemonServer(self._config.data_dir, SERVICE, ())
        self._metrics = DaemonMetrics(SERVICE, self._server, self._config)
        await self._server.start()
        self._metrics.start()

    def reconfigure(self, telemetry: TelemetryConfig) -> None:
        """Take over changed filters of metrics."""
        if self._metrics is not None:
            self._metrics.reconfigure(telemetry)

    async def stop(self) -> None:
        """Stop listening."""
        if self._metrics is not None:
            await self._metrics.stop()
            self._metrics = None
        if self._server is not None:
            await self._server.stop()
            self._server = None
