"""What the shared page says of this server."""

from lictor.page import NEVER_NS, RaftState, Role
from raftd.core.effects import RoleName, SoftState
from raftd.fsm import StateMachine

_ROLES = {
    RoleName.FOLLOWER: Role.FOLLOWER,
    RoleName.PRE_CANDIDATE: Role.CANDIDATE,
    RoleName.CANDIDATE: Role.CANDIDATE,
    RoleName.LEADER: Role.LEADER,
}


def raft_state(state: SoftState, machine: StateMachine, ready_term: int, last_contact_ns: int) -> RaftState:
    """`ready_term`: in which this server led and had applied an entry of its own; `last_contact_ns`: 0 for never."""
    leads = state.role is RoleName.LEADER
    return RaftState(
        role=_ROLES[state.role],
        generation=machine.generation,
        term=state.term,
        commit_index=state.commit_index,
        applied_index=machine.applied_index,
        lease_expiry_ns=state.lease_expiry_ns if leads else 0,
        leader_contact_ns=last_contact_ns or NEVER_NS,
        known_leader=bool(state.leader_id),
        ready=leads and ready_term == state.term,
        sole_voter=state.sole_voter,
    )
