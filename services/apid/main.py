"""Entry points of apid: `run` for the supervisor, `main` for the console."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import uvloop

from apid.driver import Apid
from lictor import logs
from lictor.config.runtime import RuntimeConfig

if TYPE_CHECKING:
    from lictor.agent.link import SupervisorLink


def run(config: RuntimeConfig, link: SupervisorLink | None, worker: int = 1) -> int:
    """Runs apid, or a further worker of it (`http_config.workers`), until it is told to stop; the exit code."""

    async def serve() -> int:
        return await Apid(config, link, worker).run()

    return uvloop.run(serve())


def main() -> int:
    """`apid`: takes the flags of `consul agent`."""
    from lictor.agent.alone import AloneLink
    from lictor.config.errors import ConfigError
    from lictor.config.load import for_daemon

    try:
        config = for_daemon(sys.argv[1:])
    except ConfigError as error:
        print(f"==> {error}", file=sys.stderr)
        return 1
    logs.setup(config.log)
    return run(config, AloneLink(sys.argv[1:], config))


if __name__ == "__main__":
    sys.exit(main())
