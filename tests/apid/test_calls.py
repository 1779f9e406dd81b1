"""What a client sees of a refusal depends on the calls that Consul would have made to get it."""

from __future__ import annotations

from typing import cast

import pytest

from apid.core.errors import (
    AnyServerError,
    BadRequest,
    EndpointError,
    Forbidden,
    HttpError,
    KnownServerRefusal,
    NotFound,
    ServerBadRequest,
    ServerForbidden,
    ServerNotFound,
)
from apid.core.message import Request
from apid.node.calls import calls_before, calls_of_passed_on
from apid.node.state import StateReader
from lictor.page import RaftState, Role

CALL = "rpc error making call: "


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (HttpError("no"), 500, f"{CALL}{CALL}no"),
        (AnyServerError("no"), 500, f"{CALL}{CALL}no"),
        (Forbidden("Permission denied"), 403, f"{CALL}{CALL}Permission denied"),
        (ServerNotFound("Query not found"), 500, f"{CALL}{CALL}Query not found"),
        (ServerBadRequest("UUID"), 400, f"Bad request: {CALL}{CALL}UUID"),
        (KnownServerRefusal("read-only"), 500, f"{CALL}{CALL}read-only"),
        (EndpointError("no number"), 500, "no number"),
        (BadRequest("bad"), 400, "bad"),
        (NotFound("none"), 404, "none"),
        (HttpError("blocked", 403), 403, "blocked"),
        (
            ServerForbidden("no longer allowed"),
            403,
            "Permission denied: rpc error making call: rpc error making call: no longer allowed",
        ),
    ],
)
def test_a_server_s_refusal_shows_each_call_and_loses_its_kind(error: HttpError, status: int, text: str) -> None:
    assert error.after_calls(2) == (status, text)
    assert error.after_calls(0) == (error.status, str(error))


class State:
    """A raft page with this content."""

    def __init__(self, role: Role, known_leader: bool = True) -> None:
        self._state = RaftState(role=role, known_leader=known_leader)

    def raft(self) -> RaftState:
        return self._state


def counted(state: State, request: Request, by_leader: bool = True, server_mode: bool = True) -> int:
    return calls_before(cast(StateReader, state), server_mode)(request, by_leader)


def asked(target: str, method: str = "GET", calls: int = 0, internal: bool = False) -> Request:
    path, _, query = target.partition("?")
    request = Request(method, path, query.encode(), [], target=target.encode())
    request.calls, request.internal = calls, internal
    return request


@pytest.mark.parametrize(
    ("target", "method", "by_leader", "expected"),
    [
        ("/v1/kv/a", "GET", True, 1),
        ("/v1/kv/a?consistent", "GET", True, 1),
        ("/v1/kv/a?stale", "GET", True, 0),
        ("/v1/query/q/execute?cached", "GET", True, 0),
        ("/v1/kv/a?stale", "PUT", True, 1),
        ("/v1/kv/a?dc=x", "GET", False, 0),
        ("/v1/agent/self", "GET", True, 0),
        ("/v1/status/leader", "GET", True, 0),
    ],
)
def test_a_follower_asks_the_leader_but_for_stale_reads(
    target: str, method: str, by_leader: bool, expected: int
) -> None:
    assert counted(State(Role.FOLLOWER), asked(target, method), by_leader) == expected
    assert counted(State(Role.LEADER), asked(target, method), by_leader) == 0
    assert counted(State(Role.FOLLOWER, known_leader=False), asked(target, method), by_leader) == 0


def test_calls_add_up_on_the_way_but_not_for_the_node_s_own_daemons() -> None:
    from_client_agent = asked("/v1/kv/a", calls=1, internal=True)
    assert counted(State(Role.LEADER), from_client_agent) == 1
    assert counted(State(Role.FOLLOWER), from_client_agent) == 2
    assert calls_of_passed_on(asked("/v1/kv/a")) == 1
    assert calls_of_passed_on(from_client_agent) == 2
    of_a_daemon = asked("/v1/kv/a", internal=True)
    assert calls_of_passed_on(of_a_daemon) == counted(State(Role.FOLLOWER), of_a_daemon) == 0
    assert calls_of_passed_on(asked("/v1/snapshot")) == 0
