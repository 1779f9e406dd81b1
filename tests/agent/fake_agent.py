"""An agent of tiny daemons, run as a program by the supervisor's tests: `python -m tests.agent.fake_agent DIR KIND...`.

Every daemon writes `<DIR>/<kind>.pid` (and the descriptors it holds to `<kind>.fds`) when it runs.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import sys
import time
from pathlib import Path

from lictor import logs
from lictor.agent import supervisor
from lictor.agent.child import Run
from lictor.agent.link import LinkError, Message, SupervisorLink
from lictor.agent.monitor import LogStream
from lictor.agent.restart import SECOND_NS, Watch
from lictor.config.runtime import RuntimeConfig, config_path

BEAT_TIMEOUT_NS = 2 * SECOND_NS
START_TIMEOUT_NS = 3 * SECOND_NS
SLOW_START_S = 0.3
PATIENT_NS = 20 * SECOND_NS


def daemon(kind: str, config: RuntimeConfig, link: SupervisorLink | None) -> int:
    """Run one daemon; `kind` says how it behaves."""
    assert link is not None
    directory = Path(config.data_dir)
    if kind == "broken":
        return 3
    if kind == "fatal":
        link.fatal("ports.http: listen tcp 127.0.0.1:1: bind: permission denied")
        time.sleep(60)
    if kind == "silent":
        write(directory / "silent.pid", str(os.getpid()))
        time.sleep(600)
    if kind == "slow":
        time.sleep(SLOW_START_S)
    if kind == "third":
        record(directory, f"third: slow is {'up' if (directory / 'slow.pid').exists() else 'not up yet'}")
    return asyncio.run(steady(kind, directory, config, link))


async def steady(kind: str, directory: Path, config: RuntimeConfig, link: SupervisorLink) -> int:
    """Serve until told to stop. SIGUSR1 makes it hang; SIGUSR2 makes it ask for `leave`."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    if kind == "deaf":
        loop.add_signal_handler(signal.SIGTERM, lambda: None)
    else:
        loop.add_signal_handler(signal.SIGTERM, stopping.set)
        link.on_event("stop", lambda _message: stopping.set())
    loop.add_signal_handler(signal.SIGUSR1, time.sleep, 600)
    asked: list[asyncio.Task[None]] = []

    loop.add_signal_handler(signal.SIGWINCH, logging.getLogger(f"agent.{kind}").debug, "seen")

    async def ask_to_leave() -> None:
        try:
            await link.ask("leave")
            record(directory, f"{kind}: left")
        except LinkError as error:
            record(directory, f"{kind}: {error}")

    async def request(what: str, _message: Message) -> None:
        record(directory, f"{kind}: {what}")

    loop.add_signal_handler(signal.SIGUSR2, lambda: asked.append(loop.create_task(ask_to_leave())))
    if kind != "unwilling":
        for what in ("leave", "left"):
            link.on_request(what, functools.partial(request, what))

    def reload(_message: Message) -> None:
        record(directory, f"{kind}: reload {RuntimeConfig.load(config_path(config.data_dir)).node_meta}")

    link.on_event("reload", reload)
    await link.start()
    write(directory / f"{kind}.fds", " ".join(sorted(os.listdir("/proc/self/fd"), key=int)))
    write(directory / f"{kind}.pid", str(os.getpid()))
    link.ready()
    if kind == "watcher":
        asked.append(loop.create_task(watch_log(directory, link)))
    await stopping.wait()
    await link.close()
    return 0


async def watch_log(directory: Path, link: SupervisorLink) -> None:
    """Write down every line of the agent's log."""
    async with LogStream(link, str(directory), "DEBUG") as stream:
        record(directory, "watching")
        async for line in stream:
            record(directory, f"log {line.decode()}")


def write(path: Path, text: str) -> None:
    """Write a whole file at once."""
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(path)


def record(directory: Path, line: str) -> None:
    """Add a line to the journal of the run."""
    with (directory / "journal").open("a") as file:
        file.write(line + "\n")


def main() -> int:
    """Supervise the daemons named on the command line."""
    directory, *kinds = sys.argv[1:]
    server = "raftd" in kinds
    config = RuntimeConfig(
        data_dir=directory,
        server_mode=server,
        leave_on_terminate=not server,
        skip_leave_on_interrupt=server,
    )
    config.save(config_path(directory))
    logs.setup(config.log)
    if "third" in kinds:
        supervisor.FIRST_ANSWER_NS = PATIENT_NS
    daemons: dict[str, Run] = {kind: functools.partial(daemon, kind) for kind in kinds}

    def reload(running: RuntimeConfig) -> RuntimeConfig:
        meta = (Path(directory) / "meta").read_text()
        return RuntimeConfig(data_dir=running.data_dir, server_mode=server, node_meta={"read": meta})

    agent = supervisor.Supervisor(
        config,
        lambda _config: daemons,
        reload,
        announce=lambda: print("running", flush=True),
        watch=lambda: Watch(beat_timeout_ns=BEAT_TIMEOUT_NS, start_timeout_ns=START_TIMEOUT_NS),
    )
    try:
        return agent.run()
    except supervisor.Failed as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
