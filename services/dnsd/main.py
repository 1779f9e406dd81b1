"""Wires dnsd: one process, one event loop, told to stop by the supervisor or a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import msgspec
import uvloop

from dnsd.driver import Driver
from lictor import logs
from lictor.agent.link import SupervisorLink
from lictor.config.runtime import AclTokens, RuntimeConfig

log = logging.getLogger("agent.dns")

EXIT_FAILED = 1


def run(config: RuntimeConfig, link: SupervisorLink | None) -> int:
    """Serve until told to stop; the exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, link))


async def _serve(config: RuntimeConfig, link: SupervisorLink | None) -> int:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    driver = Driver(config)
    if link is not None:
        link.on_event("stop", lambda message: stopping.set())
        link.on_event("reload", lambda message: driver.reload_file())
        link.on_event("tokens", lambda message: driver.use_tokens(msgspec.convert(message["tokens"], AclTokens)))
        await link.start()
    else:
        loop.add_signal_handler(signal.SIGHUP, driver.reload_file)
    try:
        await driver.start()
    except OSError as error:
        log.error("cannot start: error=%s", logs.quoted(error.strerror or error))
        await driver.close()
        return EXIT_FAILED
    if link is not None:
        link.ready()
    await stopping.wait()
    await driver.close()
    if link is not None:
        await link.close()
    return 0


def main() -> int:
    """The console script: the flags of `consul agent`, this one service in the foreground."""
    from lictor.agent.alone import AloneLink
    from lictor.config.errors import ConfigError
    from lictor.config.load import for_daemon

    try:
        config = for_daemon(sys.argv[1:])
    except ConfigError as error:
        print(f"==> {error}", file=sys.stderr)
        return EXIT_FAILED
    logs.setup(config.log)
    return run(config, AloneLink(sys.argv[1:], config))


if __name__ == "__main__":
    sys.exit(main())
