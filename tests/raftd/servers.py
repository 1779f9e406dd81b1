"""Real raftd and gossipd processes for tests, on addresses of 127.0.40.0/24 that no other test uses."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
import msgspec

from lictor.config.runtime import GossipConfig, JoinConfig, LogConfig, Ports, RaftConfig, RuntimeConfig
from lictor.pb.lictor.v1 import raft_pb2, raft_pb2_grpc
from lictor.rpc import DaemonChannel, DaemonNotRunning
from lictor.state.commands import KV, AnyResult, Command, decode_result, encode_command

SERVER_PORT, LAN_PORT, WAN_PORT = 42300, 42301, 42302
SECOND_NS = 1_000_000_000
START_TIMEOUT_S = 20.0
_RUN = """
import sys
from lictor import logs
from lictor.config.runtime import RuntimeConfig
from {module}.main import run
config = RuntimeConfig.load(sys.argv[1])
logs.setup(config.log)
sys.exit(run(config, None))
"""


class ServerProcess:
    """One server: raftd, and gossipd when it has company."""

    def __init__(self, directory: Path, number: int, expect: int, prelude: str = "", **raft: Any) -> None:
        self.number = number
        self._prelude = prelude
        """Python that raftd's process runs first: injected faults."""
        self.ip = f"127.0.40.{number}"
        self.node_id = f"00000000-0000-4000-8000-{number:012d}"
        self.directory = directory / f"n{number}"
        self.expect = expect
        timings: dict[str, Any] = {
            "multiplier": 1,
            "heartbeat_timeout_ns": SECOND_NS,
            "election_timeout_ns": SECOND_NS,
            "leader_lease_timeout_ns": SECOND_NS // 2,
        }
        pool: dict[str, Any] = {"bind_addr": self.ip, "advertise_addr": self.ip}
        self.config = RuntimeConfig(
            node_name=f"n{number}",
            node_id=self.node_id,
            data_dir=str(self.directory),
            server_mode=True,
            bootstrap=expect == 1,
            bootstrap_expect=0 if expect == 1 else expect,
            bind_addr=self.ip,
            advertise_addr_lan=self.ip,
            advertise_addr_wan=self.ip,
            ports=Ports(server=SERVER_PORT, serf_lan=LAN_PORT, serf_wan=WAN_PORT),
            gossip_lan=GossipConfig(port=LAN_PORT, advertise_port=LAN_PORT, **pool),
            gossip_wan=GossipConfig(port=WAN_PORT, advertise_port=WAN_PORT, **pool),
            join_lan=JoinConfig(retry_join=(f"127.0.40.1:{LAN_PORT}",), retry_interval_ns=SECOND_NS),
            raft=RaftConfig(bind_addr=self.ip, advertise_addr=self.ip, **(timings | raft)),
            log=LogConfig(level="DEBUG"),
        )
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start what is not running."""
        self.config.save(self.directory / "run" / "config.json")
        self.start_daemon("raftd")
        if self.expect > 1:
            self.start_daemon("gossipd")

    def start_daemon(self, name: str) -> None:
        path = str(self.directory / "run" / "config.json")
        with open(self.log_path(name), "ab") as output:
            self.daemons[name] = subprocess.Popen(
                [sys.executable, "-c", self._prelude + _RUN.format(module=name), path], stdout=output, stderr=output
            )

    def log_path(self, name: str = "raftd") -> Path:
        return self.directory / f"{name}.log"

    def log(self) -> str:
        return self.log_path().read_text()

    def signal(self, name: str, number: int) -> int:
        """Send a signal to a daemon and wait for its end; the exit status."""
        process = self.daemons.pop(name)
        process.send_signal(number)
        return process.wait(START_TIMEOUT_S)

    def kill(self) -> None:
        """`kill -9` of everything, at once."""
        for process in self.daemons.values():
            process.send_signal(signal.SIGKILL)
        for process in self.daemons.values():
            process.wait()
        self.daemons.clear()

    def __enter__(self) -> "ServerProcess":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


class Client:
    """Asks one server's raftd as its node's other daemons do."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self._daemon = DaemonChannel(server.directory, "raftd")

    def stub(self) -> Any:
        return raft_pb2_grpc.ConsensusStub(self._daemon.channel())  # type: ignore[no-untyped-call]

    @property
    def metadata(self) -> Any:
        return self._daemon.metadata

    async def status(self) -> raft_pb2.StatusResponse | None:
        """None while it does not answer."""
        try:
            status: raft_pb2.StatusResponse = await self.stub().Status(
                raft_pb2.StatusRequest(), metadata=self.metadata, timeout=2
            )
            return status
        except (grpc.aio.AioRpcError, DaemonNotRunning):
            return None

    async def propose(self, *commands: Command) -> list[raft_pb2.ProposeResult]:
        """Outcomes in order."""
        call = self.stub().Propose(metadata=self.metadata)
        items = [raft_pb2.Proposal(id=i, command=encode_command(command)) for i, command in enumerate(commands)]
        await call.write(raft_pb2.ProposeRequest(items=items))
        found: dict[int, raft_pb2.ProposeResult] = {}
        while len(found) < len(commands):
            message = await call.read()
            assert message is not grpc.aio.EOF, "the stream ended"
            found.update((item.id, item) for item in message.items)
        await call.done_writing()
        return [found[number] for number in range(len(commands))]

    async def put(self, key: bytes, value: bytes) -> tuple[int, AnyResult]:
        (outcome,) = await self.propose(KV("set", key, value))
        assert not outcome.error, outcome.error
        return outcome.index, decode_result(outcome.result)

    async def barrier(self) -> int:
        call = self.stub().ReadIndex(metadata=self.metadata)
        await call.write(raft_pb2.ReadIndexRequest(ids=[1]))
        (item,) = (await call.read()).items
        await call.done_writing()
        assert not item.error, item.error
        return int(item.index)

    async def call(self, name: str, body: Any = None, local: bool = False) -> Any:
        request = raft_pb2.CallRequest(name=name, body=msgspec.msgpack.encode(body), local=local)
        answer = await self.stub().Call(request, metadata=self.metadata, timeout=30)
        assert not answer.error, answer.error
        return msgspec.msgpack.decode(answer.body)

    async def close(self) -> None:
        await self._daemon.close()


async def eventually(condition: Callable[[], Any], timeout_s: float = START_TIMEOUT_S) -> Any:
    """The condition's first true value; fails when there is none in time."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline_s, f"not true within {timeout_s} s: {condition}"
        await asyncio.sleep(0.05)


async def leader_of(clients: list[Client], timeout_s: float = START_TIMEOUT_S) -> Client:
    """The client of the server that leads."""

    async def find() -> Client | None:
        for client in clients:
            status = await client.status()
            if status is not None and status.state == "leader" and status.applied_index:
                return client
        return None

    found: Client = await eventually(find, timeout_s)
    return found


def keys_in(server: ServerProcess) -> dict[bytes, bytes]:
    """All keys of a server's state, read as apid reads them."""
    from lictor.page import PageReader
    from lictor.state import keys
    from lictor.state.lmdb_store import open_store
    from lictor.state.rows import decode_kv

    page = PageReader(server.directory)
    generation = page.read().generation
    page.close()
    store = open_store(server.directory / "raft" / f"state-{generation}", readonly=True)
    with store.read() as txn:
        found = {key[1:]: decode_kv(raw).value or b"" for key, raw in txn.scan(keys.kv(b""))}
    store.close()
    return found


def pid_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
