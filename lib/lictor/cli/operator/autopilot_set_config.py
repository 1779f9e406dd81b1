"""`consul operator autopilot set-config`: change what was given, keep the rest."""

from __future__ import annotations

from lictor.cli.call import ERROR, OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config import duration
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul operator autopilot set-config [options]

  Changes Autopilot's configuration. What is not given stays as it is.
"""
FLAG_ERROR = "Failed to parse args: {}"
COMMON = "CS"
_NAMES = {
    "cleanup-dead-servers": "CleanupDeadServers",
    "max-trailing-logs": "MaxTrailingLogs",
    "min-quorum": "MinQuorum",
    "last-contact-threshold": "LastContactThreshold",
    "server-stabilization-time": "ServerStabilizationTime",
    "redundancy-zone-tag": "RedundancyZoneTag",
    "disable-upgrade-migration": "DisableUpgradeMigration",
    "upgrade-version-tag": "UpgradeVersionTag",
}
_DURATIONS = ("last-contact-threshold", "server-stabilization-time")


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("cleanup-dead-servers", "bool value", "Remove dead servers when new ones join, `true|false`.")
    flags.add("max-trailing-logs", "uint value", "Log entries a healthy server may lag behind.")
    flags.add("min-quorum", "uint value", "Never remove servers below this number.")
    flags.add(
        "last-contact-threshold", "duration value", "Time without contact to the leader that is healthy, as `200ms`."
    )
    flags.add(
        "server-stabilization-time", "duration value", "Time a new server must be healthy before it votes, as `10s`."
    )
    flags.add("redundancy-zone-tag", "value", "Not supported; kept.")
    flags.add("disable-upgrade-migration", "bool value", "Not supported; kept: `true|false`.")
    flags.add("upgrade-version-tag", "value", "Not supported; kept.")


def run(call: Call) -> int:
    """Read, change, write if nobody else has meanwhile."""
    changes = {
        _NAMES[flag]: duration.show(value) if flag in _DURATIONS else value
        for flag, value in call.flags.items()
        if flag in _NAMES
    }
    try:
        config = call.client.get("/v1/operator/autopilot/configuration").json()
    except ApiError as error:
        raise CommandError(f"Error querying Autopilot configuration: {error}") from None
    try:
        query = {"cas": str(config["ModifyIndex"])}
        answer = call.client.put_json("/v1/operator/autopilot/configuration", {**config, **changes}, query)
    except ApiError as error:
        raise CommandError(f"Error setting Autopilot configuration: {error}") from None
    if answer.body.strip() != b"true":
        call.out("Configuration could not be atomically updated, please try again")
        return ERROR
    call.out("Configuration updated!")
    return OK
