"""A stock serf agent as a subprocess, driven through its own command line."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.gossipd.pools import PORT
from tests.gossipd.waiting import until_async
from tests.needs import need

RPC_PORT = 27373
COMMAND_TIMEOUT_S = 15.0


class SerfAgent:
    """One agent; `log` is the file that its output and its event handler write to."""

    def __init__(self, name: str, host: str, directory: Path) -> None:
        self.name = name
        self.host = host
        self.log = directory / f"{name}.log"
        self.events = directory / f"{name}.events"
        self._handler = directory / f"{name}.sh"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, key: bytes | None, join: str) -> None:
        # The handler notes every event, and answers every query with its payload in upper case.
        self._handler.write_text(
            "#!/bin/sh\n"
            'text=$(cat)\necho "$SERF_EVENT ${SERF_USER_EVENT}${SERF_QUERY_NAME} $text" >> ' + str(self.events) + "\n"
            '[ "$SERF_EVENT" = query ] && printf "%s" "$text" | tr a-z A-Z\nexit 0\n'
        )
        self._handler.chmod(0o755)
        arguments = [
            "agent",
            f"-node={self.name}",
            f"-bind={self.host}:{PORT}",
            f"-rpc-addr={self.host}:{RPC_PORT}",
            "-protocol=4",
            "-profile=local",
            "-log-level=debug",
            f"-event-handler={self._handler}",
            "-tag=kind=stock",
        ]
        if key is not None:
            arguments.append(f"-encrypt={base64.b64encode(key).decode()}")
        if join:
            arguments.append(f"-join={join}:{PORT}")
        with self.log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                need("serf"), *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
            )
        await until_async(self._is_up, f"{self.name} answers; see {self.log}")

    async def _is_up(self) -> bool:
        code, _ = await self._run("info")
        return code == 0

    async def _run(self, command: str, *arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            need("serf"),
            command,
            f"-rpc-addr={self.host}:{RPC_PORT}",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), COMMAND_TIMEOUT_S)
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def run(self, command: str, *arguments: str) -> str:
        code, output = await self._run(command, *arguments)
        assert code == 0, f"serf {command} on {self.name}: {output}"
        return output

    async def members(self) -> list[dict[str, Any]]:
        members: list[dict[str, Any]] = json.loads(await self.run("members", "-format=json"))["members"]
        return members

    async def statuses(self) -> dict[str, str]:
        return {member["name"]: member["status"] for member in await self.members()}

    def seen(self, line: str) -> bool:
        return self.events.exists() and line in self.events.read_text()

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def serf_agent(
    name: str, host: str, directory: Path, key: bytes | None = None, join: str = ""
) -> AsyncIterator[SerfAgent]:
    """A running agent, killed at the end."""
    agent = SerfAgent(name, host, directory)
    try:
        await agent.start(key, join)
        yield agent
    finally:
        await agent.kill()
