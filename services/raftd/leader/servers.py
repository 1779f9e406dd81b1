"""Which servers belong into the Raft configuration: joins, address and ID changes, leaves.

One change at a time, as Raft wants it (dissertation 4.1). A new server enters without a vote; autopilot promotes it.
"""

from collections.abc import Iterable

from raftd.core.configuration import ChangeKind, Configuration, ConfigurationChange
from raftd.leader.members import LanMember, Status


def bootstrap_conflict(members: Iterable[LanMember], datacenter: str) -> str:
    """Two servers with `-bootstrap` must not become one cluster; "" when there is no conflict."""
    names = sorted(
        member.name
        for member in members
        if member.server is not None and member.server.bootstrap and member.datacenter == datacenter
        if member.status is Status.ALIVE
    )
    if len(names) < 2:
        return ""
    return f"{', '.join(names)} are in bootstrap mode; only one may be, not adding Raft peer"


def change_for(member: LanMember, configuration: Configuration) -> ConfigurationChange | None:
    """The next change that a server member's state asks for, None when all is as it should be."""
    tags = member.server
    if tags is None or not tags.id:
        return None
    present = configuration.get(tags.id)
    if member.status is Status.LEFT:
        return ConfigurationChange(ChangeKind.REMOVE, tags.id) if present is not None else None
    if member.status is not Status.ALIVE:
        return None
    if present is not None and present.address == tags.address:
        return None
    other = next((server for server in configuration.servers if server.address == tags.address), None)
    if other is not None and other.id != tags.id:
        return ConfigurationChange(ChangeKind.REMOVE, other.id)
    return ConfigurationChange(ChangeKind.ADD_NONVOTER, tags.id, tags.address)
