"""Calls about Raft itself: configuration, removal of a peer, hand-over, leaving, and what `consul info` shows."""

from typing import Any

from lictor.page import boottime_ns
from raftd.calls import CallError, Calls
from raftd.core.configuration import ChangeKind, ConfigurationChange
from raftd.core.effects import RoleName
from raftd.core.errors import RaftError
from raftd.driver import Driver
from raftd.proposer import NotReplicatedError, Proposer

_STATES = {
    RoleName.FOLLOWER: "Follower",
    RoleName.PRE_CANDIDATE: "Candidate",
    RoleName.CANDIDATE: "Candidate",
    RoleName.LEADER: "Leader",
}


class Operations:
    """Registers the calls `raft.…`."""

    def __init__(self, driver: Driver, proposer: Proposer, calls: Calls) -> None:
        self._driver = driver
        self._proposer = proposer
        calls.register("raft.configuration", self._configuration, leader_only=True)
        calls.register("raft.remove_peer", self._remove_peer, leader_only=True)
        calls.register("raft.transfer_leadership", self._transfer_leadership, leader_only=True)
        calls.register("raft.leave", self._leave, leader_only=True)
        calls.register("raft.stats", self._stats, leader_only=False)

    async def _configuration(self, body: Any) -> dict[str, Any]:
        """The servers and the index of their configuration."""
        raft, leader_id = self._driver.raft, self._driver.state.leader_id
        return {
            "index": raft.configuration_index,
            "servers": [
                {"id": server.id, "address": server.address, "voter": server.voter, "leader": server.id == leader_id}
                for server in raft.configuration.servers
            ],
        }

    async def _remove_peer(self, body: Any) -> bool:
        """`{"id": …}` or `{"address": …}`: take a server out of the configuration."""
        wanted_id, wanted_address = _field(body, "id"), _field(body, "address")
        for server in self._driver.raft.configuration.servers:
            if (wanted_id and server.id == wanted_id) or (wanted_address and server.address == wanted_address):
                await self.remove(server.id)
                return True
        if isinstance(body, dict) and "id" in body:
            raise CallError(f'id "{wanted_id}" was not found in the Raft configuration')
        raise CallError(f'address "{wanted_address}" was not found in the Raft configuration')

    async def _transfer_leadership(self, body: Any) -> str:
        """`{"id": …}` (may be empty): hand over; the id of the successor."""
        try:
            return self._driver.transfer_leadership(_field(body, "id"))
        except RaftError as error:
            raise CallError(str(error)) from error

    async def _leave(self, body: Any) -> bool:
        """`{"id": …}`: a server leaves and is taken out; true also when it is not in."""
        server_id = _field(body, "id")
        if self._driver.raft.configuration.get(server_id) is not None:
            await self.remove(server_id)
        return True

    async def remove(self, server_id: str) -> None:
        """Take a server out and wait until that is committed. Raises CallError."""
        try:
            index = self._driver.change_configuration(ConfigurationChange(ChangeKind.REMOVE, server_id))
            await self._proposer.applied(index)
        except (RaftError, NotReplicatedError) as error:
            raise CallError(str(error)) from error

    async def _stats(self, body: Any) -> dict[str, str]:
        """The section `raft` of `consul info`."""
        driver, raft = self._driver, self._driver.raft
        snapshot = driver.newest_snapshot
        configuration = raft.configuration
        contact_ns = raft.last_contact_ns
        if driver.is_leader:
            contact = "0"
        elif contact_ns:
            contact = f"{(boottime_ns() - contact_ns) / 1e6:.6f}ms"
        else:
            contact = "never"
        servers = " ".join(
            f"{{Suffrage:{'Voter' if s.voter else 'Nonvoter'} ID:{s.id} Address:{s.address}}}"
            for s in configuration.servers
        )
        return {
            "applied_index": str(driver.machine.applied_index),
            "commit_index": str(driver.state.commit_index),
            "fsm_pending": str(max(driver.state.commit_index - driver.machine.applied_index, 0)),
            "last_contact": contact,
            "last_log_index": str(raft.last_index),
            "last_log_term": str(raft.last_term),
            "last_snapshot_index": str(snapshot.index if snapshot else 0),
            "last_snapshot_term": str(snapshot.term if snapshot else 0),
            "latest_configuration": f"[{servers}]",
            "latest_configuration_index": str(raft.configuration_index),
            "num_peers": str(max(len(configuration.voters) - configuration.is_voter(driver.server_id), 0)),
            "protocol_version": "3",
            "protocol_version_max": "3",
            "protocol_version_min": "0",
            "snapshot_version_max": "1",
            "snapshot_version_min": "0",
            "state": _STATES[driver.state.role],
            "term": str(driver.state.term),
        }


def _field(body: Any, name: str) -> str:
    value = body.get(name, "") if isinstance(body, dict) else ""
    return value if isinstance(value, str) else ""
