"""How much of one core checkd needs for many checks: `python -m bench.checks [COUNT]`.

Half HTTP, half TCP checks at 10 s intervals against a small server in a process of its own. The figure is the
processor time of checkd alone over the window, after every check has run once. The goal is 25% of one core for 2,000.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from lictor.config.runtime import RuntimeConfig, config_path
from lictor.pb.lictor.v1 import agent_pb2, agent_pb2_grpc
from lictor.rpc import DaemonChannel

DEFAULT_COUNT = 2000
INTERVAL_S = 10
WINDOW_S = 30
WARM_UP_TIMEOUT_S = 120.0
START_TIMEOUT_S = 20.0
GOAL_PERCENT = 25.0
CHECKD = """
import sys
from checkd.main import run
from lictor import logs
from lictor.config.runtime import RuntimeConfig
config = RuntimeConfig.load(sys.argv[1])
logs.setup(config.log)
sys.exit(run(config, None))
"""
TARGET = """
import asyncio, uvloop
class Answer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
        self.transport.close()
async def main():
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
uvloop.run(main())
"""


@dataclass(frozen=True)
class CheckLoad:
    """The outcome: what was run and what it cost."""

    checks: int
    runs_per_s: float
    cpu_percent: float
    resident_mb: float
    passing: int


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def definitions(count: int, port: int) -> list[dict[str, str]]:
    """HTTP and TCP checks in turn."""
    address = f"127.0.0.1:{port}"
    made = []
    for number in range(count):
        kind = {"HTTP": f"http://{address}/health"} if number % 2 else {"TCP": address}
        made.append({"ID": f"c{number}", "Name": f"c{number}", "Interval": f"{INTERVAL_S}s", **kind})
    return made


async def measure_checks(count: int, window_s: float = WINDOW_S) -> CheckLoad:
    """Run so many checks for a while."""
    with tempfile.TemporaryDirectory(prefix="bench-checks-") as folder:
        config = RuntimeConfig(node_name="bench", node_id="bench", data_dir=folder)
        config.save(config_path(folder))
        target = await asyncio.create_subprocess_exec(sys.executable, "-c", TARGET, stdout=subprocess.PIPE)
        assert target.stdout is not None
        port = int(await target.stdout.readline())
        arguments = (sys.executable, "-c", CHECKD, str(config_path(folder)))
        checkd = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.DEVNULL)
        channel = DaemonChannel(folder, "checkd")
        try:
            return await _measure(channel, checkd.pid, definitions(count, port), window_s)
        finally:
            await channel.close()
            for process in (checkd, target):
                process.send_signal(signal.SIGTERM)
                await process.wait()


async def _measure(channel: DaemonChannel, pid: int, checks: list[dict[str, str]], window_s: float) -> CheckLoad:
    await _started(channel)
    stub = agent_pb2_grpc.LocalAgentStub(channel.channel())  # type: ignore[no-untyped-call]
    for check in checks:
        request = agent_pb2.RegisterCheckRequest(definition_json=json.dumps(check).encode())
        answer = await stub.RegisterCheck(request, metadata=channel.metadata, wait_for_ready=True)
        assert answer.status == 200, answer.error

    async def passing() -> int:
        snapshot = await stub.Snapshot(agent_pb2.LocalSnapshotRequest(), metadata=channel.metadata)
        return sum(check["Status"] == "passing" for check in json.loads(snapshot.checks_json).values())

    deadline = time.monotonic() + WARM_UP_TIMEOUT_S
    while time.monotonic() < deadline:
        if await passing() == len(checks):
            break
        await asyncio.sleep(1)
    begun, used = time.monotonic(), cpu_seconds(pid)
    await asyncio.sleep(window_s)
    elapsed, used = time.monotonic() - begun, cpu_seconds(pid) - used
    return CheckLoad(len(checks), len(checks) / INTERVAL_S, 100 * used / elapsed, resident_mb(pid), await passing())


async def _started(channel: DaemonChannel) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            channel.channel()
            return
        except ConnectionError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


def main() -> int:
    """Measure and print; 1 when checks fail or the goal for the default count is missed."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_COUNT
    load = asyncio.run(measure_checks(count))
    print(
        f"{load.checks} checks every {INTERVAL_S} s ({load.runs_per_s:.0f} runs/s): "
        f"{load.cpu_percent:.1f}% of one core, {load.resident_mb:.0f} MB resident, {load.passing} passing"
    )
    return 0 if load.passing == load.checks and load.cpu_percent <= GOAL_PERCENT * count / DEFAULT_COUNT else 1


if __name__ == "__main__":
    sys.exit(main())
