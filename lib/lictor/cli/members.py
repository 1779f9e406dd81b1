"""`consul members`: who is in the cluster, as the agent sees it."""

from __future__ import annotations

from typing import Any

from lictor import regexp
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.table import table
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul members [options]

  Lists the members of the cluster that the agent knows.
"""
COMMON = "C"
NONE_MATCHED = 2
ALL_SEGMENTS = "_all"
ANY_STATUS = ".*"
_STATUS = {0: "none", 1: "alive", 2: "leaving", 3: "left", 4: "failed"}
_SHOWN_TAGS = ("vsn", "dc", "segment")
_ROLES = {"node": "client", "consul": "server"}

Member = dict[str, Any]


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("detailed", "bool", "Show every tag of the members.")
    flags.add("wan", "bool", "List the servers of all datacenters instead.")
    flags.add("status", "string", "Show only members whose status matches this regular expression.", ".*")
    flags.add("segment", "string", "Show only members of this segment; not supported.", "_all")


def run(call: Call) -> int:
    """Print the table; exit code 2 when nobody matches."""
    wanted_status = call.flag("status", ANY_STATUS)
    try:
        # The default needs no pattern: loading the library for them takes longer than all the rest.
        status = regexp.compiled(wanted_status) if wanted_status != ANY_STATUS else None
    except regexp.RegexpError as error:
        raise CommandError(f"Failed to compile status regexp: {error}") from None
    segment = call.flag("segment", ALL_SEGMENTS)
    query = {"segment": segment, **({"wan": "1"} if call.flag("wan", False) else {})}
    try:
        found: list[Member] = call.client.get("/v1/agent/members", query).json()
    except ApiError as error:
        raise CommandError(f"Error retrieving members: {error}") from None
    for member in found:
        tags = member["Tags"]
        if segment == ALL_SEGMENTS and tags.get("role") == "consul":
            tags["segment"] = "<all>"
        elif not tags.get("segment"):
            tags["segment"] = "<default>"
    shown = [member for member in found if status is None or status.found_in(_STATUS.get(member["Status"], "none"))]
    if not shown:
        return NONE_MATCHED
    shown.sort(key=lambda member: (member["Tags"].get("segment", ""), member["Name"]))
    call.out(table(detailed(shown) if call.flag("detailed", False) else standard(shown)))
    return OK


def standard(members: list[Member]) -> list[list[str]]:
    """The table's rows: where and what each member is."""
    rows = [["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Segment"]]
    for member in members:
        tags = member["Tags"]
        role = _ROLES.get(tags.get("role", ""), "unknown")
        rows.append(
            [
                member["Name"],
                address(member),
                _STATUS.get(member["Status"], "none"),
                role,
                *(
                    (tags.get("build", "").partition(":")[0] or "< 0.3", *(tags.get(tag, "") for tag in _SHOWN_TAGS))
                    if role != "unknown"
                    else ("", "", "", "")
                ),
            ]
        )
    return rows


def detailed(members: list[Member]) -> list[list[str]]:
    """The table's rows: every tag of each member."""
    rows = [["Node", "Address", "Status", "Tags"]]
    for member in members:
        tags = ",".join(f"{name}={value}" for name, value in sorted(member["Tags"].items()))
        rows.append([member["Name"], address(member), _STATUS.get(member["Status"], "none"), tags])
    return rows


def address(member: Member) -> str:
    """`ip:port`, IPv6 in brackets."""
    host = member["Addr"]
    return f"[{host}]:{member['Port']}" if ":" in host else f"{host}:{member['Port']}"
