"""Carries out `leader.bootstrap`: looks at the pool when it changes, asks the others, starts the cluster."""

import asyncio
import logging

import grpc
import grpc.aio

from lictor.pb.lictor.v1 import raft_pb2, raft_pb2_grpc
from raftd.core.configuration import Configuration
from raftd.core.errors import AlreadyBootstrappedError
from raftd.driver import Driver
from raftd.leader.bootstrap import ABSENT_LOWEST_S, PEERS_ATTEMPTS, PEERS_RETRY_S, Step, decide, has_peers, others
from raftd.leader.gossip import Gossip
from raftd.leader.members import LanMember
from raftd.peers import PeerChannels

ASK_TIMEOUT_S = 2.0

log = logging.getLogger("agent.server")


class Bootstrapper:
    """Runs until this server has a log."""

    def __init__(
        self, driver: Driver, gossip: Gossip, channels: PeerChannels, datacenter: str, server_id: str, expect: int
    ) -> None:
        self._driver = driver
        self._gossip = gossip
        self._channels = channels
        self._datacenter = datacenter
        self._server_id = server_id
        self._expect = expect
        self._changed = asyncio.Event()
        self._last_problem = ""
        gossip.on_change.append(self._members_changed)

    def _members_changed(self, changed: list[LanMember], gone: list[str]) -> None:
        self._changed.set()

    async def run(self) -> None:
        """Returns when there is a cluster, be it ours or another's."""
        try:
            while self._driver.raft.last_index == 0:
                if await self._attempt():
                    return
        finally:
            self._gossip.on_change.remove(self._members_changed)

    async def _attempt(self) -> bool:
        """Look once; whether bootstrapping is over."""
        await self._changed.wait()
        self._changed.clear()
        decision = decide(self._gossip.members.values(), self._datacenter, self._server_id, self._expect)
        if decision.problem != self._last_problem:
            self._last_problem = decision.problem
            if decision.problem:
                log.error("%s", decision.problem)
        if decision.step is Step.FOLLOW:
            # The lowest may be gone before it began: look again, unless its log has arrived.
            asyncio.get_running_loop().call_later(ABSENT_LOWEST_S, self._changed.set)
        if decision.step is not Step.ASK_PEERS:
            return False
        assert decision.configuration is not None
        answers = await self._ask_all(decision.configuration)
        if answers is None:
            log.error("failed to confirm peer status, bootstrapping later")
            asyncio.get_running_loop().call_later(ABSENT_LOWEST_S, self._changed.set)
            return False
        if has_peers(answers):
            log.info("existing Raft peers reported by another server, disabling bootstrap mode")
            return True
        return self._begin(decision.configuration)

    def _begin(self, configuration: Configuration) -> bool:
        addresses = ",".join(server.address for server in configuration.servers)
        log.info("found expected number of peers, attempting bootstrap: peers=%s", addresses)
        try:
            self._driver.bootstrap(configuration)
        except AlreadyBootstrappedError:
            log.info("another server has begun meanwhile")
        return True

    async def _ask_all(self, configuration: Configuration) -> list[list[str]] | None:
        """Everybody's peers; None when somebody does not answer."""
        servers = others(configuration, self._server_id)
        answers = await asyncio.gather(*(self._ask(server.address) for server in servers))
        found = [answer for answer in answers if answer is not None]
        return found if len(found) == len(servers) else None

    async def _ask(self, address: str) -> list[str] | None:
        pause_s = PEERS_RETRY_S
        stub = raft_pb2_grpc.RaftPeerStub(self._channels.get(address))  # type: ignore[no-untyped-call]
        for attempt in range(PEERS_ATTEMPTS):
            try:
                response = await stub.Peers(raft_pb2.PeersRequest(), timeout=ASK_TIMEOUT_S)
                return list(response.addresses)
            except grpc.aio.AioRpcError as error:
                log.debug("failed to ask a server for its peers: address=%s error=%s", address, error.details())
                if attempt + 1 < PEERS_ATTEMPTS:
                    await asyncio.sleep(pause_s)
                    pause_s *= 2
        return None
