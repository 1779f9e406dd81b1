"""Docker checks: a command run inside a container through the engine's HTTP API (exit codes as for scripts)."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any
from urllib.parse import quote, urlsplit

from checkd.core.output import OutputRing
from checkd.core.status import CRITICAL, PASSING, WARNING
from checkd.runners.dialing import DialError, split_address
from checkd.runners.http_client import Endpoint, HttpAnswer, HttpError, exchange, request_bytes
from checkd.runners.result import Result, Run

DEFAULT_HOST = "unix:///var/run/docker.sock"
API_VERSION = "v1.24"
DEFAULT_SHELL = "/bin/sh"
FRAME_HEADER_BYTES = 8
MAX_ANSWER_BYTES = 1024 * 1024


class DockerError(Exception):
    """The engine refused."""


async def run_docker(run: Run) -> Result:
    """Create an exec, start it, read its output, ask for its exit code."""
    container = run.definition.docker_container_id
    try:
        async with asyncio.timeout(run.timeout_s()):
            code, output = await _execute(run, container)
    except TimeoutError:
        return Result(CRITICAL, f"context deadline exceeded while running the check in container {container}")
    except (DialError, HttpError, DockerError, ValueError) as error:
        return Result(CRITICAL, str(error))
    return Result({0: PASSING, 1: WARNING}.get(code, CRITICAL), output)


async def _execute(run: Run, container: str) -> tuple[int, str]:
    definition = run.definition
    args = list(definition.script_args)
    if definition.shell and len(args) == 1:
        args = [definition.shell or DEFAULT_SHELL, "-c", args[0]]
    created = await _call(
        "POST",
        f"/containers/{quote(container, safe='')}/exec",
        {"AttachStdin": False, "AttachStdout": True, "AttachStderr": True, "Tty": False, "Cmd": args},
        201,
        f"create exec failed for container {container}",
    )
    exec_id = str(json.loads(created.body.text())["Id"])
    started = await _call(
        "POST",
        f"/exec/{exec_id}/start",
        {"Detach": False, "Tty": False},
        200,
        f"start exec failed for container {container}",
    )
    output = OutputRing(run.output_limit_bytes)
    for part in frames(started.body.raw()):
        output.write(part)
    inspected = await _call("GET", f"/exec/{exec_id}/json", None, 200, f"inspect exec failed for container {container}")
    code: Any = json.loads(inspected.body.text()).get("ExitCode")
    return (-1 if code is None else int(code)), output.captured()


def frames(data: bytes) -> list[bytes]:
    """The payloads of the engine's multiplexed stream: 8 bytes of header (stream, 0, 0, 0, length), then the data."""
    parts = []
    while len(data) >= FRAME_HEADER_BYTES:
        length = int.from_bytes(data[4:FRAME_HEADER_BYTES], "big")
        parts.append(data[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + length])
        data = data[FRAME_HEADER_BYTES + length :]
    return parts


def engine() -> Endpoint:
    """Where the engine listens: `DOCKER_HOST`, or its usual socket; raises DockerError."""
    host = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    parts = urlsplit(host)
    if parts.scheme == "unix":
        return Endpoint("docker", 0, unix_path=parts.path)
    if parts.scheme in ("tcp", "http"):
        name, port = split_address(parts.netloc)
        return Endpoint(name, port)
    raise DockerError(f"unsupported DOCKER_HOST: {host}")


async def _call(method: str, path: str, body: Any, expected: int, failure: str) -> HttpAnswer:
    content = b"" if body is None else json.dumps(body).encode()
    headers = [("Host", "docker"), ("User-Agent", "Consul Health Check")]
    if content:
        headers.append(("Content-Type", "application/json"))
    request = request_bytes(method, f"/{API_VERSION}{path}", headers, content)
    answer = await exchange(engine(), request, True, MAX_ANSWER_BYTES)
    if answer.status != expected:
        raise DockerError(f"{failure} with status {answer.status}: {answer.body.text().strip()}")
    return answer
