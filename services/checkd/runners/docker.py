"""Docker checks: a command run inside a container through the engine's HTTP API (exit codes as for scripts)."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any
from urllib.parse import quote_plus, urlsplit

from checkd.core.status import CRITICAL, PASSING, WARNING
from checkd.runners.dialing import DialError, split_address
from checkd.runners.http_client import Endpoint, HttpAnswer, HttpError, exchange, request_bytes
from checkd.runners.result import Result, Run

DEFAULT_HOST = "unix:///var/run/docker.sock"
USER_AGENT = "Consul Health Check"
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
    args = list(run.definition.script_args)
    created = await _call(
        f"create exec failed for container {container}",
        "POST",
        f"/containers/{quote_plus(container)}/exec",
        {"AttachStdin": False, "AttachStdout": True, "AttachStderr": True, "Tty": False, "Cmd": args},
    )
    _refuse(
        created,
        201,
        f"create exec failed for container {container}",
        f"create exec failed for unknown container {container}",
        f"create exec failed since container {container} is paused or stopped",
    )
    exec_id = str(_parsed(created, f"create exec response for container {container}").get("Id", ""))
    # With a terminal the output comes as it is written, not in frames.
    started = await _call(
        f"start exec failed for container {container}",
        "POST",
        f"/exec/{exec_id}/start",
        {"Detach": False, "Tty": True},
        run.output_limit_bytes,
    )
    _refuse(
        started,
        200,
        f"start exec failed for container {container}",
        f"start exec failed for container {container}: invalid exec id {exec_id}",
        f"start exec failed since container {container} is paused or stopped",
    )
    inspected = await _call(f"inspect exec failed for container {container}", "GET", f"/exec/{exec_id}/json")
    _refuse(
        inspected,
        200,
        f"inspect exec failed for container {container}",
        f"inspect exec failed for container {container}: invalid exec id {exec_id}",
    )
    code = _parsed(inspected, f"inspect exec response for container {container}").get("ExitCode")
    return int(code or 0), started.body.captured()


def _refuse(answer: HttpAnswer, wanted: int, failure: str, unknown: str, stopped: str = "") -> None:
    """Raises DockerError unless the engine did what it was asked for."""
    if answer.status == wanted:
        return
    if answer.status == 404:
        raise DockerError(unknown)
    if answer.status == 409 and stopped:
        raise DockerError(stopped)
    raise DockerError(f"{failure} with status {answer.status}: {answer.body.text()}")


def _parsed(answer: HttpAnswer, what: str) -> dict[str, Any]:
    try:
        found = json.loads(answer.body.text())
    except ValueError as error:
        raise DockerError(f"{what} cannot be parsed: {error}") from None
    if not isinstance(found, dict):
        raise DockerError(f"{what} cannot be parsed")
    return found


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


async def _call(
    failure: str, method: str, path: str, body: Any = None, limit_bytes: int = MAX_ANSWER_BYTES
) -> HttpAnswer:
    content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode() + b"\n"
    headers = [("Host", "docker"), ("User-Agent", USER_AGENT)]
    if content:
        headers.append(("Content-Type", "application/json"))
    try:
        return await exchange(engine(), request_bytes(method, path, headers, content), True, limit_bytes)
    except (DialError, HttpError) as error:
        raise DockerError(f"{failure}: {error}") from None
