"""The figures of all the agent's daemons together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

import grpc

from apid.node import stubs
from lictor.pb.lictor.v1 import metrics_pb2
from lictor.rpc import DaemonChannel, DaemonNotRunning
from lictor.telemetry import PROCESS
from lictor.telemetry.catalogue import SERVER_ONLY, of_agent
from lictor.telemetry.collecting import Collected, message_of
from lictor.telemetry.registry import INTERVAL_S

log = logging.getLogger("agent.http")

OTHER_DAEMONS = ("raftd", "gossipd", "dnsd", "checkd")
COLLECT_TIMEOUT_S = 1.0


class AgentMetrics:
    """Asks the other daemons when somebody wants to know. One that is away shows what it said last.

    `workers` are the other processes of this apid.
    """

    def __init__(self, data_dir: str, server_mode: bool, node_name: str, workers: Iterable[str] = ()) -> None:
        self._node_name = node_name
        self._server_mode = server_mode
        self._daemons = {
            name: DaemonChannel(data_dir, name) for name in OTHER_DAEMONS if server_mode or name != SERVER_ONLY
        }
        self._daemons.update((name, DaemonChannel(data_dir, name)) for name in workers)
        self._last: dict[str, metrics_pb2.CollectResponse] = {}

    async def collect(self) -> Collected:
        """Everything, every series of this kind of agent included."""
        await asyncio.gather(*(self._ask(name, channel) for name, channel in self._daemons.items()))
        collected = Collected()
        collected.take(message_of(PROCESS, time.time(), INTERVAL_S))
        for message in self._last.values():
            collected.take(message)
        collected.complete(of_agent(self._server_mode), self._node_name)
        return collected

    async def _ask(self, name: str, daemon: DaemonChannel) -> None:
        try:
            stub = stubs.metrics(daemon.channel())
            self._last[name] = await stub.Collect(
                metrics_pb2.CollectRequest(), metadata=daemon.metadata, timeout=COLLECT_TIMEOUT_S
            )
        except DaemonNotRunning as error:
            log.debug("no metrics: daemon=%s error=%s", name, error)
        except grpc.aio.AioRpcError as error:
            log.debug("no metrics: daemon=%s error=%s", name, error.details())

    async def close(self) -> None:
        """Close the channels."""
        for daemon in self._daemons.values():
            await daemon.close()
