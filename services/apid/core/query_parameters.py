"""Descriptions of query parameters, once for every operation that takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class QueryParameter:
    """What a parameter means and which values it takes."""

    description: str
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})


def _flag(description: str) -> QueryParameter:
    return QueryParameter(f"{description} Its presence counts, not its value.")


def _number(description: str) -> QueryParameter:
    return QueryParameter(description, {"type": "integer", "minimum": 0})


QUERY_PARAMETERS: Mapping[str, QueryParameter] = {
    "acquire": QueryParameter("Lock the key for this session."),
    "address": QueryParameter("The server's Raft address, host:port."),
    "authmethod": QueryParameter("Only what belongs to this auth method."),
    "by": QueryParameter("Which side to match.", {"type": "string", "enum": ["source", "destination"]}),
    "cached": _flag("Answer from the agent's cache."),
    "cas": _number("Only if this is the ModifyIndex; 0: only if it does not exist."),
    "compile-dc": QueryParameter("The datacenter to compile for."),
    "connect": _flag("Only instances that take Connect traffic."),
    "consistent": _flag("Confirm with a quorum before reading."),
    "dc": QueryParameter("The datacenter that answers; this agent's when absent."),
    "destination": QueryParameter("The destination's service name."),
    "enable": QueryParameter("true or false."),
    "filter": QueryParameter("An expression over the fields of the answer's elements."),
    "flags": _number("A number of the client's own, kept with the value."),
    "format": QueryParameter("The answer's format."),
    "hash": QueryParameter("The content hash known; waits for another one."),
    "id": QueryParameter("The server's ID."),
    "index": _number("Answer once the result's index exceeds this."),
    "keys": _flag("Only the keys' names."),
    "limit": _number("At most so many instances."),
    "local-only": QueryParameter("Only this node's keys."),
    "logjson": _flag("Lines of JSON."),
    "loglevel": QueryParameter("The lowest level to show."),
    "max_stale": QueryParameter("Allow a stale answer up to this age, e.g. 10s."),
    "min_interval_ms": _number("At most one answer in so many milliseconds; changes between are merged."),
    "name": QueryParameter("A name."),
    "near": QueryParameter("Nearest to this node first; _agent is this agent, _ip the caller."),
    "node": QueryParameter("A regular expression for node names."),
    "node-meta": QueryParameter("key:value that the node's metadata must have; may be repeated."),
    "note": QueryParameter("Becomes the check's output."),
    "passing": QueryParameter("Only instances all of whose checks pass."),
    "pretty": _flag("Indent the JSON."),
    "policy": QueryParameter("A policy's ID."),
    "prune": _flag("Forget the member at once."),
    "raw": _flag("The bare value."),
    "reason": QueryParameter("Why, for others to read."),
    "recurse": _flag("Everything under the prefix."),
    "relay-factor": QueryParameter(
        "How many members relay each answer.", {"type": "integer", "minimum": 0, "maximum": 5}
    ),
    "release": QueryParameter("Unlock the key for this session."),
    "replace-existing-checks": _flag("Remove the service's checks that are not mentioned."),
    "role": QueryParameter("Only what is linked to the role with this ID."),
    "seconds": QueryParameter("How long to watch.", {"type": "number"}),
    "segment": QueryParameter("A network segment."),
    "separator": QueryParameter("Cut names after this text."),
    "service": QueryParameter("A regular expression for service names."),
    "source": QueryParameter("The source's service name."),
    "source-type": QueryParameter("What the source is."),
    "stale": _flag("Let any server answer."),
    "tag": QueryParameter("A tag that instances must have; may be repeated."),
    "topic": QueryParameter(
        "What to watch, once for each: kv/<prefix>, kv/<key>?exact, health/<service>?passing&tag=…, services, nodes, "
        "sessions, events."
    ),
    "wait": QueryParameter("How long to block, e.g. 30s."),
    "wan": QueryParameter("The WAN pool instead of the LAN pool."),
}
