"""The public gRPC API: the HTTP API in protobuf, with watches as streams."""
