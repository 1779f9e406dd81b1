"""Run files: `<data-dir>/run/<service>.json` says where a daemon listens, so that peers on the node find it.

A file is written whole (temporary file, then rename) when its daemon listens, and stays after the daemon died:
the next one takes the same port when it is free, so most peers reconnect without even noticing.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

RUN_DIRECTORY = "run"


@dataclass(frozen=True, slots=True)
class RunFile:
    """Where one daemon of the node listens: `address` is host:port of its internal gRPC server."""

    address: str
    pid: int
    build: str

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


def run_directory(data_dir: str | Path) -> Path:
    """The node's directory for run files, made when it is missing (mode 0700)."""
    path = Path(data_dir) / RUN_DIRECTORY
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def run_file_path(data_dir: str | Path, service: str) -> Path:
    return Path(data_dir) / RUN_DIRECTORY / f"{service}.json"


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replaces the file by `content`: readers see the old or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(temporary, path)


def write_run_file(data_dir: str | Path, service: str, run_file: RunFile) -> None:
    path = run_directory(data_dir) / f"{service}.json"
    write_atomically(path, json.dumps(asdict(run_file)).encode())


def read_run_file(data_dir: str | Path, service: str) -> RunFile | None:
    """The daemon's last known place; None when it never ran here or the file is unreadable."""
    try:
        fields = json.loads(run_file_path(data_dir, service).read_bytes())
        return RunFile(str(fields["address"]), int(fields["pid"]), str(fields["build"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
