"""Writes, reads, lists and deletes keys, and takes a lock, over the public gRPC API.

python protos/examples/keys.py 127.0.0.1:8502
"""

import sys

import grpc

from lictor.pb.lictor.v1 import kv_pb2, kv_pb2_grpc, session_pb2, session_pb2_grpc


def main(target: str) -> None:
    with grpc.insecure_channel(target) as channel:
        kv = kv_pb2_grpc.KVStub(channel)
        sessions = session_pb2_grpc.SessionsStub(channel)
        kv.Put(kv_pb2.KVPutRequest(key="example/color", value=b"blue"))
        entry = kv.Get(kv_pb2.KVGetRequest(key="example/color")).entry
        print(entry.key, entry.value.decode())
        # Only if nobody wrote in between.
        again = kv.Put(kv_pb2.KVPutRequest(key=entry.key, value=b"green", cas=entry.modify_index))
        print("changed", again.success)
        print(*kv.Keys(kv_pb2.KVKeysRequest(prefix="example/")).keys)

        session = sessions.Create(session_pb2.SessionCreateRequest(name="example", ttl="15s", behavior="delete")).id
        locked = kv.Put(kv_pb2.KVPutRequest(key="example/leader", value=b"me", acquire=session)).success
        fence = kv.Get(kv_pb2.KVGetRequest(key="example/leader")).entry.lock_index
        print("locked", locked, "fencing number", fence)
        sessions.Destroy(session_pb2.SessionDestroyRequest(id=session))

        kv.Delete(kv_pb2.KVDeleteRequest(key="example/", recurse=True))
        try:
            kv.Get(kv_pb2.KVGetRequest(key="example/color"))
        except grpc.RpcError as error:
            print(error.code().name)


if __name__ == "__main__":
    main(sys.argv[1])
