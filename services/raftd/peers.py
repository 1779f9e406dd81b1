"""Channels to other servers' raftd, one per address, shared by Raft's messages and forwarded requests."""

from __future__ import annotations

from typing import Protocol

import grpc
import grpc.aio

from lictor.rpc.server import MAX_MESSAGE_BYTES

PEER_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 3000),
    ("grpc.keepalive_timeout_ms", 3000),
    # The timeout above watches the connection; a process that stands still is seen by its unanswered pings alone.
    ("grpc.http2.ping_timeout_ms", 3000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)


class Dialer(Protocol):
    """What stands between a channel and its server where TLS is configured."""

    def target(self, address: str, datacenter: str) -> str: ...
    def forget(self, address: str) -> None: ...


class PeerChannels:
    """Makes and keeps channels; a server that changed its address gets a new one."""

    def __init__(self, datacenter: str = "", dialer: Dialer | None = None) -> None:
        self._datacenter = datacenter
        self._dialer = dialer
        self._channels: dict[str, grpc.aio.Channel] = {}

    def get(self, address: str) -> grpc.aio.Channel:
        """The channel to host:port."""
        channel = self._channels.get(address)
        if channel is None:
            target = self._dialer.target(address, self._datacenter) if self._dialer is not None else address
            channel = self._channels[address] = grpc.aio.insecure_channel(target, options=PEER_OPTIONS)
        return channel

    async def forget(self, address: str) -> None:
        """Nobody needs this address any more."""
        channel = self._channels.pop(address, None)
        if channel is not None:
            await channel.close()
            if self._dialer is not None:
                self._dialer.forget(address)

    async def close(self) -> None:
        """Close all."""
        for address in tuple(self._channels):
            await self.forget(address)
