"""What can be watched: for each type the query it is, the parameters it takes, and what of the answer is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from lictor.cli.client import Answer, Client

STATES = frozenset({"any", "passing", "warning", "critical"})
TYPES_OF_AGENT_ONLY = ("connect_roots", "connect_leaf", "agent_service")

Parameters = dict[str, Any]


class WatchError(Exception):
    """The watch is described wrongly."""


class Query(NamedTuple):
    """One question to ask again and again."""

    path: str
    parameters: list[tuple[str, str]]
    pick: Callable[[Any], Any]
    """What of the decoded answer is the result; gets None for a missing key."""
    is_event: bool = False


def query_for(kind: str, given: Parameters) -> Query:
    """The query of a watch. Raises WatchError for an unknown type or wrong parameters."""
    if not kind:
        raise WatchError("Watch type must be specified")
    if kind not in _TYPES:
        raise WatchError(f"Unsupported watch type: {kind}")
    query = _TYPES[kind](given)
    if given.get("stale") and not query.is_event:
        query.parameters.append(("stale", ""))
    return query


def fetch(client: Client, query: Query, index: int) -> tuple[int, Any]:
    """Ask once, blocking while the index is the given one; the new index and the result. Raises ApiError."""
    parameters = [*query.parameters, ("index", str(index))] if index else query.parameters
    answer = client.get(query.path, parameters, missing_ok=True)
    return index_of(answer), query.pick(answer.json() if answer.status == 200 else None)


def index_of(answer: Answer) -> int:
    """The answer's X-Consul-Index; 0 when there is none."""
    text = answer.headers.get("X-Consul-Index", "0")
    return int(text) if text.isdigit() else 0


def events_after(index: int, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events that came after the one this index stands for."""
    for number, event in enumerate(events):
        if event_index(event["ID"]) == index:
            return events[number + 1 :]
    return events


def event_index(identity: str) -> int:
    """The index of an event: both halves of its UUID, one XOR the other."""
    digits = identity.replace("-", "")
    return int(digits[:16], 16) ^ int(digits[16:], 16)


def _same(value: Any) -> Any:
    return value


def _key(given: Parameters) -> Query:
    key = given.get("key", "")
    if not key:
        raise WatchError("Must specify a single key to watch")
    return Query(f"/v1/kv/{key}", [], lambda found: _pair(found[0]) if found else None)


def _key_prefix(given: Parameters) -> Query:
    prefix = given.get("prefix", "")
    if not prefix:
        raise WatchError("Must specify a single prefix to watch")
    return Query(
        f"/v1/kv/{prefix}", [("recurse", "")], lambda found: [_pair(entry) for entry in found] if found else None
    )


def _pairs(found: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    return [_pair(entry) for entry in found] if found else None


def _pair(entry: dict[str, Any]) -> dict[str, Any]:
    names = ("Key", "CreateIndex", "ModifyIndex", "LockIndex", "Flags", "Value")
    return {**{name: entry[name] for name in names}, "Session": entry.get("Session", "")}


def _service(given: Parameters) -> Query:
    service = given.get("service", "")
    if not service:
        raise WatchError("Must specify a single service to watch")
    tags = given.get("tag") or []
    parameters = [("tag", tag) for tag in ([tags] if isinstance(tags, str) else tags)]
    if given.get("passingonly"):
        parameters.append(("passing", "1"))
    return Query(f"/v1/health/service/{service}", parameters, _same)


def _checks(given: Parameters) -> Query:
    service, state = given.get("service", ""), given.get("state", "")
    if service and state:
        raise WatchError("Cannot specify service and state")
    if state and state not in STATES:
        raise WatchError(f"Unsupported state: {state}")
    path = f"/v1/health/checks/{service}" if service else f"/v1/health/state/{state or 'any'}"
    return Query(path, [], _same)


def _event(given: Parameters) -> Query:
    name = given.get("name", "")
    return Query("/v1/event/list", [("name", name)] if name else [], lambda found: found or [], is_event=True)


_TYPES: dict[str, Callable[[Parameters], Query]] = {
    "key": _key,
    "keyprefix": _key_prefix,
    "services": lambda _given: Query("/v1/catalog/services", [], _same),
    "nodes": lambda _given: Query("/v1/catalog/nodes", [], _same),
    "service": _service,
    "checks": _checks,
    "event": _event,
}

PARAMETERS: dict[str, frozenset[str]] = {
    "key": frozenset({"key"}),
    "keyprefix": frozenset({"prefix"}),
    "services": frozenset(),
    "nodes": frozenset(),
    "service": frozenset({"service", "tag", "passingonly"}),
    "checks": frozenset({"service", "state"}),
    "event": frozenset({"name"}),
}
"""What each type takes besides what all take."""
