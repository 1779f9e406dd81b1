"""Members to catalog: what the leader registers and deregisters (Consul 1.7: agent/consul/leader.go; state-machine §5).

An alive member has its node with check serfHealth passing, a server also the service `consul`; a failed one has
serfHealth critical; one that left or was reaped is deregistered. Nodes without serfHealth are not ours and left alone.

A node that came with a restored archive keeps its ID, its sessions and all else for as long as it counts as healthy,
even when the member of that name has another ID, as in Consul.
"""

from collections.abc import Collection
from dataclasses import dataclass

from lictor.state.commands import Command, Deregister, Register
from lictor.state.rows import Check, Node, Service
from raftd.leader.members import LanMember, Status

SERF_CHECK_ID = "serfHealth"
SERF_CHECK_NAME = "Serf Health Status"
ALIVE_OUTPUT = "Agent alive and reachable"
FAILED_OUTPUT = "Agent not live or unreachable"
SERVICE_ID = "consul"


@dataclass(frozen=True, slots=True)
class Registered:
    """What the catalog has of one node; all None when it has nothing."""

    node: Node | None
    check: Check | None
    service: Service | None
    restored: bool = False
    """Whether the node came with an archive and has not changed since."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command and the line to log; `command` None: nothing to do."""

    command: Command | None = None
    message: str = ""
    again: bool = False
    """Whether there is more to do for this member after it."""


NOTHING = Step()


def consul_service(member: LanMember) -> Service | None:
    """The service `consul` of a server."""
    if member.server is None:
        return None
    minimum, maximum, current = member.protocol
    return Service(
        node=member.name,
        id=SERVICE_ID,
        service=SERVICE_ID,
        meta={
            "raft_version": member.server.raft_version,
            "serf_protocol_current": str(current),
            "serf_protocol_max": str(maximum),
            "serf_protocol_min": str(minimum),
            "version": member.server.version,
        },
        port=member.server.port,
        weights=(1, 1),
    )


def reconcile(member: LanMember, registered: Registered, datacenter: str, local_name: str) -> Step:
    """What one member's state asks for."""
    match member.status:
        case Status.ALIVE | Status.LEAVING:
            return _alive(member, registered, datacenter) if member.status is Status.ALIVE else NOTHING
        case Status.FAILED:
            return _failed(member, registered, datacenter)
        case Status.LEFT:
            return gone(member.name, registered, local_name, "left")


def _alive(member: LanMember, registered: Registered, datacenter: str) -> Step:
    node, wanted = registered.node, consul_service(member)
    same = node is not None and (not member.id or node.id == member.id or registered.restored)
    if node is not None and node.id and not same and registered.check is not None:
        # The node was made anew with an empty disk before anybody saw it fail. Gossip lets one live member have a name,
        # so the one in the catalog is no more; while it is there, its name would be refused to the new one.
        return Step(Deregister(member.name), f"member has a new node ID: member={member.name} id={member.id}", True)
    if (
        node is not None
        and node.address == member.address
        and same
        and _service_matches(registered.service, wanted)
        and registered.check is not None
        and registered.check.status == "passing"
    ):
        return NOTHING
    # The node's own agent may register it before this command is applied.
    checks = [_serf_check(member.name, "passing", ALIVE_OUTPUT)]
    command = Register(_node(member, node, datacenter), wanted, checks, keep_node_details=True)
    return Step(command, f"member joined, marking health alive: member={member.name}")


def _service_matches(present: Service | None, wanted: Service | None) -> bool:
    if wanted is None:
        return True
    return present is not None and present.meta == wanted.meta and present.port == wanted.port


def _failed(member: LanMember, registered: Registered, datacenter: str) -> Step:
    if registered.node is None:
        return NOTHING
    if (
        registered.node.address == member.address
        and registered.check is not None
        and registered.check.status == "critical"
    ):
        return NOTHING
    check = _serf_check(member.name, "critical", FAILED_OUTPUT)
    command = Register(_node(member, registered.node, datacenter), None, [check], skip_node_update=True)
    return Step(command, f"member failed, marking health critical: member={member.name}")


def gone(name: str, registered: Registered, local_name: str, reason: str) -> Step:
    """A member that left or was reaped; never this server itself."""
    if name == local_name or registered.node is None or registered.check is None:
        return NOTHING
    return Step(Deregister(name), f"deregistering member: member={name} reason={reason}")


def strangers(with_serf_check: Collection[str], members: Collection[str], local_name: str) -> list[str]:
    """Nodes that were members once and are no more."""
    present = {name.lower() for name in members} | {local_name.lower()}
    return [name for name in with_serf_check if name.lower() not in present]


def _node(member: LanMember, present: Node | None, datacenter: str) -> Node:
    return Node(
        id=member.id,
        node=member.name,
        address=member.address,
        datacenter=datacenter,
        tagged_addresses=present.tagged_addresses if present is not None else None,
        meta=present.meta if present is not None else None,
    )


def _serf_check(node: str, status: str, output: str) -> Check:
    return Check(node=node, check_id=SERF_CHECK_ID, name=SERF_CHECK_NAME, status=status, output=output)
