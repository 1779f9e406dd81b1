"""The internal gRPC server: health and reflection, so that supervisor and tools see whether dnsd serves."""

from __future__ import annotations

from lictor.rpc import DaemonServer

SERVICE = "dnsd"


class StatusServer:
    """A daemon server without services of its own."""

    def __init__(self, data_dir: str) -> None:
        self._data_dir = data_dir
        self._server: DaemonServer | None = None

    async def start(self) -> None:
        """Listen on loopback and write the run file."""
        self._server = DaemonServer(self._data_dir, SERVICE, ())
        await self._server.start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            await self._server.stop()
            self._server = None
