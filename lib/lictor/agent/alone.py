"""What stands in for the supervisor when a service manager runs a daemon by itself: signals and sd_notify.

The daemon sees a `SupervisorLink`. SIGHUP reads the configuration again and is told as `reload`; SIGTERM and SIGINT are
told as `stop`, after the requests `leave` and `left` where Consul's rules want a graceful end (`leave_on_terminate`,
`skip_leave_on_interrupt`). What would go to the supervisor goes to systemd: ready, reloading, stopping, alive.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from typing import Any

from lictor import logs
from lictor.agent import notify
from lictor.agent.link import EventHandler, LinkError, Message, RequestHandler, SupervisorLink
from lictor.agent.reloading import reloaded
from lictor.config import load
from lictor.config.errors import ConfigError
from lictor.config.runtime import RuntimeConfig, config_path

LEAVE_TIMEOUT_S = 15.0
SECOND_NS = 1_000_000_000

log = logging.getLogger("agent")


class AloneLink(SupervisorLink):
    """The link of a daemon that has no supervisor. `arguments` are those of its command line."""

    supervised = False

    def __init__(self, arguments: Sequence[str], config: RuntimeConfig) -> None:
        self._arguments = list(arguments)
        self._config = config
        self._handlers: dict[str, EventHandler] = {}
        self._answers: dict[str, RequestHandler] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._ending = False

    def on_event(self, name: str, handler: EventHandler) -> None:
        self._handlers[name] = handler

    def on_request(self, name: str, handler: RequestHandler) -> None:
        self._answers[name] = handler

    async def start(self) -> None:
        """Take SIGHUP and tell systemd that the daemon is alive, until `close()`."""
        self._config.save(config_path(self._config.data_dir))
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        if interval_ns := notify.alive_interval_ns(os.environ, os.getpid()):
            self._run(_tell_alive(interval_ns / SECOND_NS))

    def ready(self, **details: Any) -> None:
        """The daemon serves; from now on it is stopped in good order."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)
        notify.notify(notify.READY)

    def fatal(self, error: str) -> None:
        log.error(error)
        signal.raise_signal(signal.SIGTERM)

    def tell(self, event: str, **details: Any) -> None:
        """There is nobody to tell."""

    async def ask(self, what: str, timeout_s: float = 0.0, **arguments: Any) -> Message:
        raise LinkError("this daemon runs without a supervisor")

    async def close(self) -> None:
        for task in tuple(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    def _reload(self) -> None:
        log.info("Reloading configuration...")
        notify.notify(notify.RELOADING)
        try:
            config = reloaded(self._config, load.from_arguments(self._arguments).config)
            logs.set_level(logs.level_number(config.log.level))
            config.save(config_path(config.data_dir))
        except (ConfigError, ValueError, OSError) as error:
            log.error("Failed to reload configs", extra=logs.fields(error=error))
        else:
            self._config = config
            outcome = self._handlers["reload"]({"event": "reload"}) if "reload" in self._handlers else None
            if isinstance(outcome, str) and outcome:
                log.error("Failed to reload configs", extra=logs.fields(error=outcome))
        notify.notify(notify.READY)

    def _end(self, number: int) -> None:
        notify.notify(notify.STOPPING)
        leaves = (
            self._config.leave_on_terminate if number == signal.SIGTERM else not self._config.skip_leave_on_interrupt
        )
        if self._ending or not leaves or "leave" not in self._answers:
            self._stop()
            return
        self._ending = True
        log.info("Gracefully shutting down agent...")
        self._run(self._leave())

    async def _leave(self) -> None:
        try:
            for request in ("leave", "left"):
                if request in self._answers:
                    await asyncio.wait_for(self._answers[request]({}), LEAVE_TIMEOUT_S)
        except Exception as error:
            log.warning(
                "Timeout on graceful leave. Exiting", extra=logs.fields(error=str(error) or type(error).__name__)
            )
        self._stop()

    def _stop(self) -> None:
        self._handlers["stop"]({"event": "stop"})

    def _run(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)


async def _tell_alive(interval_s: float) -> None:
    while True:
        notify.notify(notify.ALIVE)
        await asyncio.sleep(interval_s)
