"""`consul maint`: take a node or a service out of service, and back."""

from __future__ import annotations

from typing import Any

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul maint [options]

  Turns the maintenance mode of the agent's node, or of one of its services,
  on or off. Without options, lists what is in maintenance mode.
"""
COMMON = "C"
NODE_CHECK = "_node_maintenance"
SERVICE_CHECK_PREFIX = "_service_maintenance:"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("enable", "bool", "Turn maintenance mode on.")
    flags.add("disable", "bool", "Turn maintenance mode off.")
    flags.add("reason", "string", "Why, for other operators to read.")
    flags.add("service", "string", "ID of a service; the whole node when not given.")


def run(call: Call) -> int:
    """Change or list."""
    enable, disable = call.flag("enable", False), call.flag("disable", False)
    reason, service = call.flag("reason"), call.flag("service")
    if enable and disable:
        raise CommandError("Only one of -enable or -disable may be provided")
    if not enable and reason:
        raise CommandError("Reason may only be provided with -enable")
    if service and not enable and not disable:
        raise CommandError("Service requires either -enable or -disable")
    try:
        name = call.client.get("/v1/agent/self").json()["Config"]["NodeName"]
    except ApiError as error:
        raise CommandError(f"Error querying Consul agent: {error}") from None
    if not enable and not disable:
        return _list(call, name)
    query = {"enable": "true" if enable else "false"}
    if enable:
        query["reason"] = reason
    path = f"/v1/agent/service/maintenance/{service}" if service else "/v1/agent/maintenance"
    try:
        call.client.put(path, query)
    except ApiError as error:
        what = f"{'enabling' if enable else 'disabling'} {'service' if service else 'node'} maintenance"
        raise CommandError(f"Error {what}: {error}") from None
    state = "enabled" if enable else "disabled"
    call.out(f'Service maintenance is now {state} for "{service}"' if service else f"Node maintenance is now {state}")
    return OK


def _list(call: Call, name: str) -> int:
    try:
        checks: dict[str, dict[str, Any]] = call.client.get("/v1/agent/checks").json()
    except ApiError as error:
        raise CommandError(f"Error getting checks: {error}") from None
    for check in checks.values():
        if check["CheckID"] == NODE_CHECK:
            call.out(f"Node:\n  Name:   {name}\n  Reason: {check['Notes']}\n")
        elif check["CheckID"].startswith(SERVICE_CHECK_PREFIX):
            call.out(f"Service:\n  ID:     {check['ServiceID']}\n  Reason: {check['Notes']}\n")
    return OK
