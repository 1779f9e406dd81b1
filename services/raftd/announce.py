"""What consensus tells in the log, in Consul's words, since people and scripts look for them."""

import logging
from collections.abc import Callable

from raftd.core.configuration import Configuration
from raftd.core.effects import RoleName, SoftState
from raftd.fsm import Batch

log = logging.getLogger("agent.server.raft")
server_log = logging.getLogger("agent.server")


class Announcer:
    """Turns changes of role and configuration into log lines."""

    def __init__(self, address: str, configuration: Callable[[], Configuration]) -> None:
        self._address = address
        self._configuration = configuration
        self._role = RoleName.FOLLOWER
        self._leader_id = ""

    def started(self, index: int) -> None:
        """The server came up with this configuration."""
        servers = " ".join(
            f"{{Suffrage:{'Voter' if s.voter else 'Nonvoter'} ID:{s.id} Address:{s.address}}}"
            for s in self._configuration().servers
        )
        log.info('initial configuration: index=%d servers="[%s]"', index, servers)
        log.info("entering follower state: follower=%s leader=", self._node("Follower"))

    def no_peers(self) -> None:
        """An election is due, and there is nobody to elect."""
        log.warning("no known peers, aborting election")

    def state_changed(self, state: SoftState) -> None:
        """Role, term or leader is another."""
        before, self._role = self._role, state.role
        last_leader, self._leader_id = self._leader_id, state.leader_id
        if state.role is before:
            return
        match state.role:
            case RoleName.PRE_CANDIDATE:
                log.warning("heartbeat timeout reached, starting election: last-leader=%s", self._name(last_leader))
            case RoleName.CANDIDATE:
                log.info("entering candidate state: node=%s term=%d", self._node("Candidate"), state.term)
            case RoleName.LEADER:
                voters = len(self._configuration().voters)
                log.info("election won: tally=%d", voters // 2 + 1)
                log.info("entering leader state: leader=%s", self._node("Leader"))
                server_log.info("cluster leadership acquired")
            case RoleName.FOLLOWER:
                leader = self._name(state.leader_id)
                log.info("entering follower state: follower=%s leader=%s", self._node("Follower"), leader)
        if before is RoleName.LEADER:
            server_log.info("cluster leadership lost")

    def _node(self, role: str) -> str:
        return f'"Node at {self._address} [{role}]"'

    def _name(self, server_id: str) -> str:
        server = self._configuration().get(server_id) if server_id else None
        return server.address if server is not None else server_id

    def leader_ready(self) -> None:
        """Told by the duties."""

    def configuration_changed(self, configuration: Configuration) -> None:
        """Servers as they are now."""
        servers = ", ".join(f"{s.id} ({s.address}{'' if s.voter else ', no vote'})" for s in configuration.servers)
        log.info("updated configuration: servers=%r", servers)

    def batch_applied(self, batch: Batch) -> None:
        """Not worth a line."""

    def state_replaced(self) -> None:
        """Told by the driver."""
