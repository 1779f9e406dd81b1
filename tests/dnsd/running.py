"""A whole dnsd in this process: sockets on loopback, a state file, a raft page."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from dnsd.driver import Driver
from lictor.config.runtime import Addresses, DnsConfig, Ports, RuntimeConfig
from lictor.page import PageWriter, RaftState, Role

FAR_FUTURE_NS = 1 << 62


class WriterProcess:
    """The other end of `tests.dnsd.writer`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.dnsd.writer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def do(self, **order: Any) -> None:
        """Send one order and wait until it is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n", "the writer failed"

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=10)


@contextmanager
def writing() -> Iterator[WriterProcess]:
    """A writer until the end of the block."""
    writer = WriterProcess()
    try:
        yield writer
    finally:
        writer.close()


class RunningState:
    """What raftd keeps: the state file and the page."""

    def __init__(self, data_dir: Path, writer: WriterProcess) -> None:
        self.data_dir = data_dir
        self.page = PageWriter(data_dir)
        self._writer = writer
        self._generation = 1
        self._write(register=[])
        self.lead()

    def _write(self, **order: Any) -> None:
        self._writer.do(path=str(self.data_dir / "raft" / f"state-{self._generation}"), **order)

    def lead(self) -> None:
        """This server leads."""
        self.page.write(
            RaftState(Role.LEADER, self._generation, 1, lease_expiry_ns=FAR_FUTURE_NS, known_leader=True, ready=True)
        )

    def replace(self) -> None:
        """A snapshot was restored: an empty state in the next generation."""
        self._write(close=True)
        self._generation += 1
        self._write(register=[])
        self.lead()

    def node(self, name: str, address: str, service: str = "", **fields: Any) -> None:
        """Register a node, with a service."""
        self.nodes([(name, address, service, fields)])

    def nodes(self, entries: list[tuple[str, str, str, dict[str, Any]]]) -> None:
        """Register many."""
        self._write(
            register=[
                {
                    "node": name,
                    "address": address,
                    "service": {"id": service, "service": service, **fields} if service else None,
                }
                for name, address, service, fields in entries
            ]
        )

    def forget(self, node: str, service_id: str = "") -> None:
        """Deregister a service, or a node with all it has."""
        self._write(deregister=[{"node": node, "service_id": service_id}])

    def policy(self, name: str, rules: str) -> None:
        """Make or change a policy."""
        self._write(policies={name: rules})

    def token(self, secret: str, *policies: str) -> None:
        """Make a token, or give it other policies."""
        self._write(tokens={secret: policies})

    def forget_token(self, secret: str) -> None:
        """Delete a token."""
        self._write(lost_tokens=[secret])

    def close(self) -> None:
        """Close both."""
        self._write(close=True)
        self.page.close()


def configuration(data_dir: Path, **dns: Any) -> RuntimeConfig:
    """A server of datacenter `bj` with DNS on a free port of loopback."""
    return RuntimeConfig(
        data_dir=str(data_dir),
        datacenter="bj",
        node_name="n1",
        server_mode=True,
        ports=Ports(dns=0),
        addresses=Addresses(dns=("127.0.0.1",)),
        dns=DnsConfig(**dns),
    )


@asynccontextmanager
async def running(config: RuntimeConfig) -> AsyncIterator[Driver]:
    """The service until the end of the block."""
    driver = Driver(config)
    try:
        await driver.start()
        yield driver
    finally:
        await driver.close()
