"""The leader's duties that only a secondary datacenter has."""

from collections.abc import Awaitable, Callable

from lictor.config.runtime import RuntimeConfig
from raftd.driver import Driver
from raftd.leader.certificate_authority import AuthorityRecords
from raftd.leader.replication.duty import ReplicationDuty
from raftd.leader.replication.primary import Primary
from raftd.leader.replication.status import AclReplicationStatus
from raftd.leader.secondary_authority import SecondaryAuthority
from raftd.proposer import Proposer


class SecondaryDuties:
    """Everything that asks the primary datacenter, over one channel."""

    def __init__(
        self,
        config: RuntimeConfig,
        driver: Driver,
        proposer: Proposer,
        records: AuthorityRecords,
        status: AclReplicationStatus,
    ) -> None:
        self._primary = Primary(config.data_dir)
        self._authority = SecondaryAuthority(records, self._primary, config)
        self._replication = ReplicationDuty(config, driver, proposer, self._primary, status)

    def loops(self) -> list[Callable[[], Awaitable[None]]]:
        """For a leader that begins; they run until they are cancelled."""
        return [self._authority.run, *self._replication.loops()]

    async def close(self) -> None:
        """Close the channel."""
        await self._primary.close()
