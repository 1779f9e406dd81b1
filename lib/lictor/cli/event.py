"""`consul event`: fire a user event."""

from __future__ import annotations

from lictor import regexp
from lictor.cli.call import OK, Call, CommandError, UsageWanted
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul event [options] [payload]

  Fires an event in a datacenter. Nodes, services and tags that should get it
  can be chosen by regular expressions.
"""
COMMON = "C"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("name", "string", "Name of the event.")
    flags.add("node", "string", "Regular expression of node names.")
    flags.add("service", "string", "Regular expression of service names.")
    flags.add("tag", "string", "Regular expression of service tags; needs -service.")


def run(call: Call) -> int:
    """Fire it and print its ID."""
    name, node, service, tag = (call.flag(flag) for flag in ("name", "node", "service", "tag"))
    if not name:
        raise UsageWanted("Event name must be specified")
    if tag and not service:
        raise CommandError("Cannot provide tag filter without service filter.")
    for what, pattern in (("node", node), ("service", service), ("tag", tag)):
        problem = regexp.problem_of(pattern)
        if problem:
            raise CommandError(f"Failed to compile {what} filter regexp: {problem}")
    if len(call.arguments) > 1:
        raise UsageWanted("Too many command line arguments.")
    payload = call.arguments[0].encode() if call.arguments else b""
    query = {key: value for key, value in (("node", node), ("service", service), ("tag", tag)) if value}
    try:
        call.client.get("/v1/agent/self")
    except ApiError as error:
        raise CommandError(f"Error querying Consul agent: {error}") from None
    try:
        fired = call.client.put(f"/v1/event/fire/{name}", query, payload).json()
    except ApiError as error:
        raise CommandError(f"Error firing event: {error}") from None
    call.out(f"Event ID: {fired['ID']}")
    return OK
