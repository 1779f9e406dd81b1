"""Client stubs of the other daemons: the one place that touches gRPC's untyped generated classes."""

from __future__ import annotations

from typing import Any

import grpc.aio

from lictor.pb.lictor.v1 import agent_pb2_grpc, forward_pb2_grpc, gossip_pb2_grpc, metrics_pb2_grpc, raft_pb2_grpc


def consensus(channel: grpc.aio.Channel) -> Any:
    return raft_pb2_grpc.ConsensusStub(channel)  # type: ignore[no-untyped-call]


def gossip(channel: grpc.aio.Channel) -> Any:
    return gossip_pb2_grpc.GossipStub(channel)  # type: ignore[no-untyped-call]


def local_agent(channel: grpc.aio.Channel) -> Any:
    return agent_pb2_grpc.LocalAgentStub(channel)  # type: ignore[no-untyped-call]


def forward(channel: grpc.aio.Channel) -> Any:
    return forward_pb2_grpc.ForwardStub(channel)  # type: ignore[no-untyped-call]


def metrics(channel: grpc.aio.Channel) -> Any:
    return metrics_pb2_grpc.MetricsStub(channel)  # type: ignore[no-untyped-call]
