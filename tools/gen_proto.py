"""Generates lib/lictor/pb from protos/: messages, gRPC stubs and type stubs."""

import sys
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    out = ROOT / "lib" / "lictor" / "pb"
    include = resources.files("grpc_tools") / "_proto"
    protos = sorted((ROOT / "protos").rglob("*.proto"))
    args = ["protoc", f"-I{ROOT / 'protos'}", f"-I{include}"]
    args += [f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}", *map(str, protos)]
    status: int = protoc.main(args)
    if status:
        return status
    # Generated modules import `lictor.v1.x`, which exists only below the generated package.
    for path in out.rglob("*_pb2*.py*"):
        text = path.read_text()
        path.write_text(text.replace("from lictor.v1 import", "from lictor.pb.lictor.v1 import"))
    for folder in {path.parent for path in out.rglob("*_pb2.py")} | {out / "lictor"}:
        (folder / "__init__.py").touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
