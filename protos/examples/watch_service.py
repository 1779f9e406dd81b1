"""Prints the instances of a service that are up, and every change, over the public gRPC API.

    python protos/examples/watch_service.py 127.0.0.1:8502 web

Keeps a copy of the state and applies what the stream brings; when the stream breaks off it continues from the last
index. The agent needs `ports.grpc`. The generated modules are those of this project; another one runs
`python -m grpc_tools.protoc -Iprotos --python_out=. --grpc_python_out=. protos/lictor/v1/*.proto`.
"""

import sys
import time

import grpc

from lictor.pb.lictor.v1 import health_pb2, health_pb2_grpc, query_pb2

RETRY_S = 1.0


def main(target: str, service: str) -> None:
    instances: dict[tuple[str, str], str] = {}
    index = 0
    with grpc.insecure_channel(target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while True:
            request = health_pb2.HealthWatchRequest(
                service=service, passing_only=True, options=query_pb2.WatchOptions(resume_index=index)
            )
            try:
                for change in health.Watch(request, metadata=[("x-consul-token", "")]):
                    if change.reset:
                        instances.clear()
                    for item in change.upserts:
                        address = item.service.address or item.node.address
                        instances[item.node.node, item.service.id] = f"{address}:{item.service.port}"
                    for key in change.deletes:
                        instances.pop((key.node, key.service_id), None)
                    index = change.index
                    print(index, *sorted(instances.values()), flush=True)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            time.sleep(RETRY_S)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
