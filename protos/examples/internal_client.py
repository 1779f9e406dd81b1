"""Asks a daemon of a running agent over its internal gRPC, as grpcurl would: what it serves, or one unary call.

    python protos/examples/internal_client.py DATA_DIR                          every daemon and what it serves
    python protos/examples/internal_client.py DATA_DIR raftd lictor.v1.Consensus/Status '{}'

Messages are built from the server's own descriptions (reflection): no generated code is needed. The run file
`DATA_DIR/run/<daemon>.json` tells where the daemon listens, `DATA_DIR/run/secret` lets in.
"""

import json
import sys
from pathlib import Path

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from lictor.rpc import SECRET_HEADER

DAEMONS = ("raftd", "gossipd", "apid", "dnsd", "checkd")


class SecretInterceptor(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Adds the node's secret to every call."""

    def __init__(self, secret: str) -> None:
        self._metadata = ((SECRET_HEADER, secret),)

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(details._replace(metadata=self._metadata), request)

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(details._replace(metadata=self._metadata), requests)


def open_channel(data_dir: Path, daemon: str) -> grpc.Channel:
    """A channel to one daemon of the agent, with its secret."""
    run = data_dir / "run"
    address = json.loads((run / f"{daemon}.json").read_text())["address"]
    secret = (run / "secret").read_text().strip()
    return grpc.intercept_channel(grpc.insecure_channel(address), SecretInterceptor(secret))


def services(channel: grpc.Channel) -> list[str]:
    return sorted(ProtoReflectionDescriptorDatabase(channel).get_services())


def call(channel: grpc.Channel, method: str, body: str) -> str:
    """The answer of a unary method `package.Service/Method` as JSON."""
    service_name, _, method_name = method.partition("/")
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    described = pool.FindServiceByName(service_name).FindMethodByName(method_name)
    request = json_format.Parse(body, GetMessageClass(described.input_type)())
    ask = channel.unary_unary(
        f"/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(described.output_type).FromString,
    )
    return json_format.MessageToJson(ask(request, timeout=10))


def main(data_dir: Path, arguments: list[str]) -> None:
    if arguments:
        daemon, method, body = (*arguments, "{}")[:3]
        with open_channel(data_dir, daemon) as channel:
            print(call(channel, method, body))
        return
    for daemon in DAEMONS:
        with open_channel(data_dir, daemon) as channel:
            print(daemon, *services(channel))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
