"""The replication that the leader of a secondary datacenter runs: what access control and Connect ask for."""

from collections.abc import Awaitable, Callable

from lictor.config.runtime import RuntimeConfig
from raftd.driver import Driver
from raftd.leader.replication.kinds import (
    CONFIG_ENTRY_KIND,
    INTENTION_KIND,
    POLICY_KIND,
    ROLE_KIND,
    TOKEN_KIND,
    Kind,
)
from raftd.leader.replication.primary import Primary
from raftd.leader.replication.replicator import Replicator
from raftd.leader.replication.status import AclReplicationStatus
from raftd.proposer import Proposer


def kinds_of(config: RuntimeConfig) -> list[Kind]:
    """What a secondary datacenter takes over."""
    found = [CONFIG_ENTRY_KIND]
    if config.connect.enabled:
        found.append(INTENTION_KIND)
    if config.acl.enabled:
        found += [POLICY_KIND, ROLE_KIND]
        if config.acl.enable_token_replication:
            found.append(TOKEN_KIND)
    return found


class ReplicationDuty:
    """One loop per kind; those of access control tell the status how they fare."""

    def __init__(
        self,
        config: RuntimeConfig,
        driver: Driver,
        proposer: Proposer,
        primary: Primary,
        status: AclReplicationStatus,
    ) -> None:
        self._config = config
        self._driver = driver
        self._proposer = proposer
        self._primary = primary
        self._status = status

    def loops(self) -> list[Callable[[], Awaitable[None]]]:
        """For a leader that begins; they run until they are cancelled."""
        if self._config.acl.enabled:
            self._status.started(self._config.primary_datacenter, self._config.acl.enable_token_replication)
        machine, status = self._driver.machine, self._status
        found: list[Callable[[], Awaitable[None]]] = []
        for kind in kinds_of(self._config):
            told = status if kind.is_acl() else None
            found.append(Replicator(kind, self._primary, self._proposer, lambda: machine.store.read(), told).run)
        return found
