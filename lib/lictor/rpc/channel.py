"""A channel to another daemon of the same node, which may be restarted at any time."""

import asyncio
import os
import time
from pathlib import Path

import grpc

from lictor.rpc.runfile import read_run_file, run_file_path
from lictor.rpc.secret import SECRET_HEADER, node_secret
from lictor.rpc.server import MAX_MESSAGE_BYTES

CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


START_POLL_S = 0.02


class DaemonNotRunning(ConnectionError):
    """The daemon has not written its run file yet."""


class DaemonChannel:
    """Finds a daemon through its run file.

    Call `channel()` for every stub you make and do not keep stubs across failures: a daemon that came back on
    another port gets a new channel, one that came back on its old port is reconnected by gRPC itself. Every call
    takes `metadata=daemon.metadata` (the node's secret).
    """

    def __init__(self, data_dir: str | Path, service: str) -> None:
        self._data_dir = data_dir
        self._service = service
        self._path = run_file_path(data_dir, service)
        self._seen_ns = 0
        self._address = ""
        self._channel: grpc.aio.Channel | None = None
        self._retired: list[grpc.aio.Channel] = []
        self.metadata = ((SECRET_HEADER, node_secret(data_dir)),)

    def channel(self) -> grpc.aio.Channel:
        """The channel to the daemon's present address. Raises DaemonNotRunning before its first start."""
        try:
            changed_ns = os.stat(self._path).st_mtime_ns
        except FileNotFoundError:
            raise DaemonNotRunning(f"{self._service} is not running on this node") from None
        if self._channel is None or changed_ns != self._seen_ns:
            run_file = read_run_file(self._data_dir, self._service)
            if run_file is None:
                raise DaemonNotRunning(f"{self._service} is not running on this node")
            if self._channel is None or run_file.address != self._address:
                if self._channel is not None:
                    self._retired.append(self._channel)
                self._address = run_file.address
                self._channel = grpc.aio.insecure_channel(run_file.address, options=CHANNEL_OPTIONS)
            self._seen_ns = changed_ns
        return self._channel

    async def started(self, timeout_s: float) -> grpc.aio.Channel:
        """The channel, after waiting for the daemon's first start: an agent answers before all of it runs.

        Raises DaemonNotRunning when the time is over.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                return self.channel()
            except DaemonNotRunning:
                if time.monotonic() >= deadline_s:
                    raise
            await asyncio.sleep(START_POLL_S)

    async def close(self) -> None:
        for channel in (*self._retired, *((self._channel,) if self._channel else ())):
            await channel.close()
        self._retired.clear()
        self._channel = None
