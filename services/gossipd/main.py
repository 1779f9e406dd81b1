"""gossipd: wires the pools, the gRPC service and the supervisor together."""

import asyncio
import logging
import signal
import sys
from random import Random, SystemRandom

import uvloop

from gossipd.core.errors import PoolError
from gossipd.files import KeyringFileError
from gossipd.node import GossipNode, JoinFailed
from gossipd.rpc import FULL_NAME, GossipService
from gossipd.transport import BindError
from lictor import logs
from lictor.agent.link import Message, SupervisorLink
from lictor.config.runtime import RuntimeConfig, config_path
from lictor.pb.lictor.v1.gossip_pb2_grpc import add_GossipServicer_to_server
from lictor.rpc import DaemonServer
from lictor.telemetry.serving import DaemonMetrics

SEED_BITS = 128

log = logging.getLogger("agent")


def run(config: RuntimeConfig, link: SupervisorLink | None) -> int:
    """Blocks until told to stop. 0 after a stop, 1 when it could not start or had to give up."""
    try:
        return uvloop.run(_serve(config, link))
    except (BindError, JoinFailed, KeyringFileError, PoolError, OSError) as error:
        log.error("gossipd: %s", error)
        return 1


async def _serve(config: RuntimeConfig, link: SupervisorLink | None) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    if link is None:
        loop.add_signal_handler(signal.SIGINT, stopping.set)
    else:
        # A terminal's interrupt is the supervisor's to handle: it may want a graceful leave of us.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
    node = GossipNode(config, Random(SystemRandom().getrandbits(SEED_BITS)))
    server = DaemonServer(config.data_dir, "gossipd", (FULL_NAME,))
    add_GossipServicer_to_server(GossipService(node), server.server)  # type: ignore[no-untyped-call]
    metrics = DaemonMetrics("gossipd", server, config)
    if link is not None:
        _listen(link, config, node, stopping, metrics)
        await link.start()
    try:
        await node.start()
        await server.start()
        metrics.start()
        if link is not None:
            link.ready()
        return await _until(stopping, node)
    finally:
        await node.stop()
        await metrics.stop()
        await server.stop()
        if link is not None:
            await link.close()


def _listen(
    link: SupervisorLink, config: RuntimeConfig, node: GossipNode, stopping: asyncio.Event, metrics: DaemonMetrics
) -> None:
    def reload(_: Message) -> None:
        fresh = RuntimeConfig.load(config_path(config.data_dir))
        logs.set_level(logs.level_number(fresh.log.level))
        metrics.reconfigure(fresh.telemetry)

    async def leave(_: Message) -> None:
        await node.leave()

    link.on_event("stop", lambda _: stopping.set())
    link.on_event("reload", reload)
    link.on_request("leave", leave)


async def _until(stopping: asyncio.Event, node: GossipNode) -> int:
    """Until told to stop, or until the node gives up."""
    assert node.failed is not None
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((stop, node.failed), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
    if node.failed.done() and (error := node.failed.exception()) is not None:
        raise error
    return 0


def main() -> int:
    """The console script: flags as for `consul agent`, no supervisor."""
    from lictor.agent.alone import AloneLink
    from lictor.config.errors import ConfigError
    from lictor.config.load import for_daemon

    try:
        config = for_daemon(sys.argv[1:])
    except (ConfigError, OSError) as error:
        print(f"==> {error}", file=sys.stderr)
        return 1
    return run(config, AloneLink(sys.argv[1:], config))


if __name__ == "__main__":
    sys.exit(main())
