"""`consul operator autopilot get-config`: how the servers look after themselves."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError

USAGE = """
Usage: consul operator autopilot get-config [options]

  Prints Autopilot's configuration.
"""
FLAG_ERROR = "Failed to parse args: {}"
COMMON = "CS"


def run(call: Call) -> int:
    """Read and print."""
    try:
        config = call.client.get("/v1/operator/autopilot/configuration").json()
    except ApiError as error:
        raise CommandError(f"Error querying Autopilot configuration: {error}") from None
    call.out(f"CleanupDeadServers = {_go(config['CleanupDeadServers'])}")
    call.out(f"LastContactThreshold = {config['LastContactThreshold']}")
    call.out(f"MaxTrailingLogs = {config['MaxTrailingLogs']}")
    call.out(f"MinQuorum = {config['MinQuorum']}")
    call.out(f"ServerStabilizationTime = {config['ServerStabilizationTime']}")
    call.out(f'RedundancyZoneTag = "{config["RedundancyZoneTag"]}"')
    call.out(f"DisableUpgradeMigration = {_go(config['DisableUpgradeMigration'])}")
    call.out(f'UpgradeVersionTag = "{config["UpgradeVersionTag"]}"')
    return OK


def _go(value: bool) -> str:
    return "true" if value else "false"
