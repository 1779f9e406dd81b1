"""A whole checkd inside the test's loop, or as a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from checkd.main import CheckDaemon
from lictor.config.runtime import ChecksConfig, RuntimeConfig, config_path
from lictor.pb.lictor.v1 import agent_pb2, agent_pb2_grpc
from lictor.rpc import DaemonChannel

NODE_ID = "3f7ab0f0-0000-4000-8000-000000000001"
PROGRAM = """
import sys
from checkd.main import run
from lictor import logs
from lictor.config.runtime import RuntimeConfig
config = RuntimeConfig.load(sys.argv[1])
logs.setup(config.log)
sys.exit(run(config, None))
"""


def make_config(data_dir: Path, **fields: Any) -> RuntimeConfig:
    """A node n1 in datacenter bj, script checks on; saved where the supervisor saves it."""
    checks = fields.pop("checks_config", ChecksConfig(enable_remote_scripts=True, enable_local_scripts=True))
    config = RuntimeConfig(
        node_name="n1", node_id=NODE_ID, datacenter="bj", data_dir=str(data_dir), checks_config=checks, **fields
    )
    config.save(config_path(str(data_dir)))
    return config


def changed(config: RuntimeConfig, **fields: Any) -> RuntimeConfig:
    return msgspec.structs.replace(config, **fields)


class Client:
    """Calls `lictor.v1.LocalAgent` as apid does."""

    def __init__(self, data_dir: Path) -> None:
        self._channel = DaemonChannel(data_dir, "checkd")

    async def close(self) -> None:
        await self._channel.close()

    async def call(self, method: str, request: Any) -> Any:
        stub = agent_pb2_grpc.LocalAgentStub(self._channel.channel())  # type: ignore[no-untyped-call]
        call = getattr(stub, method)
        return await call(request, metadata=self._channel.metadata, timeout=10, wait_for_ready=True)

    def watch(self, deltas: bool) -> Any:
        stub = agent_pb2_grpc.LocalAgentStub(self._channel.channel())  # type: ignore[no-untyped-call]
        return stub.Watch(agent_pb2.LocalSnapshotRequest(deltas=deltas), metadata=self._channel.metadata)

    async def service(self, token: str = "", replace_checks: bool = False, **definition: Any) -> tuple[int, str]:
        request = agent_pb2.RegisterServiceRequest(
            definition_json=json.dumps(definition).encode(), token=token, replace_existing_checks=replace_checks
        )
        answer = await self.call("RegisterService", request)
        return answer.status, answer.error

    async def check(self, token: str = "", **definition: Any) -> tuple[int, str]:
        request = agent_pb2.RegisterCheckRequest(definition_json=json.dumps(definition).encode(), token=token)
        answer = await self.call("RegisterCheck", request)
        return answer.status, answer.error

    async def ttl(self, check_id: str, status: str, output: str = "") -> tuple[int, str]:
        request = agent_pb2.UpdateTtlRequest(check_id=check_id, status=status, output=output)
        answer = await self.call("UpdateTtl", request)
        return answer.status, answer.error

    async def deregister(self, service_id: str = "", check_id: str = "") -> int:
        if service_id:
            request: Any = agent_pb2.DeregisterServiceRequest(service_id=service_id)
            return int((await self.call("DeregisterService", request)).status)
        request = agent_pb2.DeregisterCheckRequest(check_id=check_id)
        return int((await self.call("DeregisterCheck", request)).status)

    async def snapshot(self) -> tuple[dict[str, Any], dict[str, Any]]:
        answer = await self.call("Snapshot", agent_pb2.LocalSnapshotRequest())
        return json.loads(answer.services_json), json.loads(answer.checks_json)


@asynccontextmanager
async def running(config: RuntimeConfig, seed: int = 1) -> AsyncIterator[tuple[CheckDaemon, Client]]:
    """A daemon in this loop, and a client."""
    daemon = CheckDaemon(config, Random(seed))
    client = Client(Path(config.data_dir))
    try:
        await daemon.start()
        yield daemon, client
    finally:
        await client.close()
        await daemon.stop()


@asynccontextmanager
async def process(config: RuntimeConfig) -> AsyncIterator[asyncio.subprocess.Process]:
    """A checkd of its own, killed at the end."""
    path = str(config_path(config.data_dir))
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, path, stdout=asyncio.subprocess.DEVNULL)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
