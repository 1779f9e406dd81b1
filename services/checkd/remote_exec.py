"""The agent's side of `consul exec` (Consul 1.7: remote_exec.go); refused unless `disable_remote_exec` is false.

The event `_rexec` names a prefix and a session. `<prefix>/<session>/job` tells what to run; what comes of it goes to
`<prefix>/<session>/<node>/`: `ack` at once, `out/00000` and so on, `exit` at the end. Every key is held by the session:
when the caller is gone no more can be written.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import os
import posixpath
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

from checkd.forward import ForwardClient, ForwardUnavailable
from checkd.runners.program import Program
from lictor import logs
from lictor.user_event import UserEvent

OUTPUT_BYTES = 4096
OUTPUT_IDLE_S = 0.5
"""Output is sent after this time even if it is not a whole piece."""
MIN_HEARTBEAT_S = 0.1
MAX_JOBS = 64
MAX_REMEMBERED_EVENTS = 256
NOT_RUN = 255
KILLED = -1
SCRIPT_MODE = 0o750
DEFAULT_SHELL = "/bin/sh"

log = logging.getLogger("agent")


class RemoteExecError(Exception):
    """A job cannot be had, or what came of it cannot be written."""


class Job(NamedTuple):
    """What to run; words win over a script, a script over a command."""

    command: str
    words: list[str]
    script: bytes
    heartbeat_s: float


class RemoteExec:
    """Runs the jobs that events ask for."""

    def __init__(self, forward: ForwardClient, node_name: str, token: Callable[[], str]) -> None:
        self._forward = forward
        self._node_name = node_name
        self._token = token
        self._seen: dict[str, None] = {}
        self._jobs: set[asyncio.Task[None]] = set()

    def take(self, event: UserEvent) -> None:
        """Start the job of an event that is meant for this node, once."""
        log.debug("received remote exec event", extra=logs.fields(id=event.id))
        if event.id in self._seen:
            return
        self._seen[event.id] = None
        if len(self._seen) > MAX_REMEMBERED_EVENTS:
            del self._seen[next(iter(self._seen))]
        if len(self._jobs) >= MAX_JOBS:
            log.error("too many remote exec jobs at once", extra=logs.fields(id=event.id, limit=MAX_JOBS))
            return
        task = asyncio.get_running_loop().create_task(self._run(event.payload or b""))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def close(self) -> None:
        """Tell no more of running jobs; their programs are left alone, for they may be what stops this agent."""
        for task in self._jobs:
            task.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    async def _run(self, payload: bytes) -> None:
        try:
            prefix, session = _place(payload)
        except ValueError as error:
            log.error("failed to decode remote exec event", extra=logs.fields(error=error))
            return
        base = posixpath.join(prefix, session)
        try:
            job = await self._job(f"{base}/job")
            if job is None:
                log.debug("remote exec aborted, job spec missing")
                return
        except RemoteExecError as error:
            log.error("failed to get remote exec job", extra=logs.fields(error=error))
            return
        except ValueError as error:
            log.error("failed to decode remote exec spec", extra=logs.fields(error=error))
            return
        report = Report(self._forward, f"{base}/{self._node_name}", session, self._token)
        try:
            await report.write("ack", b"")
        except RemoteExecError as error:
            log.error("failed to ack remote exec job", extra=logs.fields(error=error))
            return
        code = NOT_RUN
        try:
            code = await _execute(job, report)
        finally:
            try:
                await report.write("exit", str(code).encode())
            except RemoteExecError as error:
                log.error("failed to write exit code for remote exec job", extra=logs.fields(error=error))

    async def _job(self, key: str) -> Job | None:
        """The job at a key; a server that lags is asked first, then one that does not. Raises ValueError, too."""
        for query in ("stale", "consistent"):
            try:
                answer = await self._forward.request("GET", f"/v1/kv/{quote(key)}", query=query, token=self._token())
            except ForwardUnavailable as error:
                raise RemoteExecError(str(error)) from None
            if answer.status == 404:
                continue
            if answer.status != 200:
                raise RemoteExecError(answer.text())
            (entry,) = json.loads(answer.body)
            return decoded(base64.b64decode(entry["Value"] or ""))
        return None


class Report:
    """Writes what comes of one job."""

    def __init__(self, forward: ForwardClient, base: str, session: str, token: Callable[[], str]) -> None:
        self._forward, self._base, self._session, self._token = forward, base, session, token

    async def write(self, name: str, value: bytes) -> None:
        """Write a key that the session holds. Raises RemoteExecError."""
        path, query = f"/v1/kv/{quote(f'{self._base}/{name}')}", f"acquire={quote(self._session, safe='')}"
        try:
            answer = await self._forward.request("PUT", path, query=query, raw=value, token=self._token())
        except ForwardUnavailable as error:
            raise RemoteExecError(str(error)) from None
        if answer.status != 200:
            raise RemoteExecError(answer.text())
        if answer.body.strip() != b"true":
            raise RemoteExecError("write failed")


def decoded(text: bytes) -> Job:
    """The job in a JSON text as `consul exec` writes it. Raises ValueError."""
    fields: Any = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError("a JSON object is wanted")
    command, words, wait_ns = fields.get("Command") or "", fields.get("Args") or [], fields.get("Wait") or 0
    if not isinstance(command, str) or not isinstance(words, list) or not isinstance(wait_ns, int):
        raise ValueError("Command is a string, Args a list, Wait a number")
    try:
        script = base64.b64decode(fields.get("Script") or "", validate=True)
    except (binascii.Error, TypeError) as error:
        raise ValueError(str(error)) from None
    return Job(command, [str(word) for word in words], script, max(wait_ns / 1e9, MIN_HEARTBEAT_S))


def _place(payload: bytes) -> tuple[str, str]:
    """Prefix and session in an event's payload. Raises ValueError."""
    fields: Any = json.loads(payload)
    if not isinstance(fields, dict) or not all(isinstance(fields.get(name), str) for name in ("Prefix", "Session")):
        raise ValueError("an object with Prefix and Session is wanted")
    return fields["Prefix"], fields["Session"]


async def _execute(job: Job, report: Report) -> int:
    """Run it to its end and send its output; the exit code."""
    if not job.script:
        return await _run_words(job.words or _through_shell(job.command), job.heartbeat_s, report)
    with tempfile.NamedTemporaryFile(prefix="rexec", delete=False) as file:
        file.write(job.script)
    try:
        os.chmod(file.name, SCRIPT_MODE)
        return await _run_words(_through_shell(file.name), job.heartbeat_s, report)
    finally:
        os.unlink(file.name)


def _through_shell(text: str) -> list[str]:
    return [os.environ.get("SHELL") or DEFAULT_SHELL, "-c", text]


async def _run_words(words: list[str], heartbeat_s: float, report: Report) -> int:
    log.info("remote exec script", extra=logs.fields(script=words[-1] if words[1:2] == ["-c"] else " ".join(words)))
    try:
        program = await Program.start(words)
    except (OSError, ValueError) as error:
        log.debug("failed to start remote exec", extra=logs.fields(error=error))
        return NOT_RUN
    try:
        await _send_output(program.stdout, heartbeat_s, report)
        code = await program.wait()
        return code if code >= 0 else KILLED
    except RemoteExecError as error:
        log.error("failed to write output for remote exec job", extra=logs.fields(error=error))
        # Nobody listens any more; the program may go on, and must not wait for a reader.
        while await program.stdout.read(OUTPUT_BYTES):
            pass
        return NOT_RUN
    finally:
        program.close()


async def _send_output(stdout: asyncio.StreamReader, heartbeat_s: float, report: Report) -> None:
    """Send output in pieces until it ends; an empty piece tells that the program still runs. Raises RemoteExecError."""
    number, gathered = 0, b""
    while True:
        try:
            async with asyncio.timeout(OUTPUT_IDLE_S if gathered else heartbeat_s):
                data = await stdout.read(OUTPUT_BYTES - len(gathered))
        except TimeoutError:
            data = None
        gathered += data or b""
        if data and len(gathered) < OUTPUT_BYTES:
            continue
        if gathered or data is None:
            await report.write(f"out/{number:05x}", gathered)
            number, gathered = number + 1, b""
        if data == b"":
            return
