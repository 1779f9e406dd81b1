"""raftd: one server's consensus, state machine and, when it leads, the leader's duties.

`run` is called by the supervisor in a forked child, `main` from the command line. Exit codes: 0 after an orderly stop,
1 when the configuration, the data directory or an address cannot be used, or when the disk failed.
"""

import asyncio
import logging
import signal
import sys

import uvloop

from lictor.agent.link import SupervisorLink
from lictor.config.runtime import RuntimeConfig
from raftd.server import RaftServer, StartError
from raftd.storage.errors import StorageError

SWITCH_INTERVAL_S = 0.0005
"""How long the loop's thread may keep the log writer's thread waiting after a sync."""

log = logging.getLogger("agent.server.raft")


def run(config: RuntimeConfig, link: SupervisorLink | None) -> int:
    """Serve until told to stop; returns the exit code."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, link))


async def _serve(config: RuntimeConfig, link: SupervisorLink | None) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    # A terminal's interrupt is the supervisor's to handle: it may want a graceful leave first.
    loop.add_signal_handler(signal.SIGINT, stopping.set if link is None else lambda: None)
    server = RaftServer(config, stopping)
    if link is not None:
        link.on_event("stop", lambda message: stopping.set())
        server.serve_link(link)
        await link.start()
    try:
        await server.start()
    except (StorageError, StartError) as error:
        log.error("raftd cannot start: error=%s", error)
        await server.stop()
        return 1
    if link is not None:
        link.ready()
    await stopping.wait()
    await server.stop()
    if link is not None:
        await link.close()
    return 1 if server.failed else 0


def main() -> int:
    """Console script: takes the flags of `consul agent`."""
    from lictor.agent import notify
    from lictor.agent.alone import AloneLink
    from lictor.config.errors import ConfigError
    from lictor.config.goflags import FlagError, HelpWanted
    from lictor.config.load import for_daemon

    try:
        config = for_daemon(sys.argv[1:])
    except (ConfigError, FlagError, HelpWanted) as error:
        print(error, file=sys.stderr)
        return 1
    if not config.server_mode:
        log.info("not a server, nothing to do")
        notify.notify(notify.READY)
        return 0
    return run(config, AloneLink(sys.argv[1:], config))


if __name__ == "__main__":
    sys.exit(main())
