"""How many calls of Consul's lie between a client and the server whose refusal it gets.

Consul passes each request on by calls: a client agent to a server, a server to one of another datacenter, a follower to
the leader unless a stale read is asked for. We pass on HTTP requests, and a follower answers reads and checks writes
itself; what it refuses shows the call all the same. The node's own daemons get refusals as they are.
"""

from __future__ import annotations

from collections.abc import Callable

from apid.core.dispatcher import READING_METHODS
from apid.core.message import Request
from apid.node.state import StateReader
from lictor.page import Role

ANSWERED_BY_ANYBODY = (
    "/v1/agent",
    "/v1/status/",
    "/v1/catalog/datacenters",
    "/v1/coordinate/datacenters",
    "/v1/event/list",
    "/v1/operator/keyring",
    "/v1/snapshot",
)
"""Nothing there is passed to the leader by a call, or its errors are put together by other means."""


def calls_before(state: StateReader, server_mode: bool) -> Callable[[Request, bool], int]:
    """Counts for a request that is refused here, or (the second argument) as the leader would refuse it."""

    def calls(request: Request, by_leader: bool) -> int:
        if request.path.startswith(ANSWERED_BY_ANYBODY) or (request.internal and not request.calls):
            return 0
        # What an agent keeps in its cache it asks for stale.
        any_server = request.method in READING_METHODS and (request.has("stale") or request.has("cached"))
        if not by_leader or not server_mode or any_server:
            return request.calls
        raft = state.raft()
        return request.calls + (raft.known_leader and raft.role is not Role.LEADER)

    return calls


def calls_of_passed_on(request: Request) -> int:
    """For the server that a client's request is passed on to."""
    if request.path.startswith(ANSWERED_BY_ANYBODY) or (request.internal and not request.calls):
        return 0
    return request.calls + 1
