"""`consul keyring`: the gossip keys of the cluster."""

from __future__ import annotations

from typing import Any

from lictor.cli.call import OK, Call, CommandError, UsageWanted
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul keyring [options]

  Lists, installs, chooses or removes the keys that encrypt gossip, on every
  member of the LAN and WAN pools.
"""
COMMON = "C"
MAX_RELAY_FACTOR = 5


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("install", "string", "Install this key; it is not used for sending yet.")
    flags.add("use", "string", "Use this installed key for sending.")
    flags.add("remove", "string", "Remove this key; not the one in use.")
    flags.add("list", "bool", "List the keys.")
    flags.add("relay-factor", "int", "Members that relay each answer, 0 to 5.")
    flags.add("local-only", "bool", "List the agent's own keys only.")


def run(call: Call) -> int:
    """Do the one thing that was asked."""
    listing, local = call.flag("list", False), call.flag("local-only", False)
    actions = [name for name in ("install", "use", "remove") if call.flag(name)]
    if listing:
        actions.append("list")
    relay_factor = call.flag("relay-factor", 0)
    if len(actions) > 1:
        raise CommandError("Only a single action is allowed")
    if not actions:
        raise UsageWanted("")
    if not 0 <= relay_factor <= MAX_RELAY_FACTOR:
        raise CommandError(f"Error parsing relay factor: Relay factor must be in range: [0, {MAX_RELAY_FACTOR}]")
    if local and not listing:
        raise CommandError("Error validating local-only: local-only can only be set for list requests")
    query = {"relay-factor": str(relay_factor)} if relay_factor else {}
    try:
        if listing:
            call.out("==> Gathering installed encryption keys...")
            answers = call.client.get("/v1/operator/keyring", query | ({"local-only": "true"} if local else {}))
            call.out(_listed(answers.json()))
        else:
            _change(call, actions[0], query)
    except ApiError as error:
        raise CommandError(f"error: {error}") from None
    return OK


def _change(call: Call, action: str, query: dict[str, str]) -> None:
    key = {"Key": call.flag(action)}
    if action == "install":
        call.out("==> Installing new gossip encryption key...")
        call.client.post_json("/v1/operator/keyring", key, query)
    elif action == "use":
        call.out("==> Changing primary gossip encryption key...")
        call.client.put_json("/v1/operator/keyring", key, query)
    else:
        import json

        call.out("==> Removing gossip encryption key...")
        call.client.delete("/v1/operator/keyring", query, json.dumps(key).encode())


def _listed(pools: list[dict[str, Any]]) -> str:
    lines: list[str] = []
    for pool in pools:
        title = "WAN" if pool["WAN"] else f"{pool['Datacenter']} (LAN)"
        if pool.get("Segment"):
            title += f" [{pool['Segment']}]"
        lines += ["", f"{title}:"]
        lines += [f"  ===> {node}: {text}" for node, text in sorted((pool.get("Messages") or {}).items())]
        lines += [f"  {key} [{count}/{pool['NumNodes']}]" for key, count in pool["Keys"].items()]
    return "\n".join(lines)
