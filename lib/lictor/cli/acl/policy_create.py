"""`consul acl policy create`: a new policy."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.acl.names import text_of, token_id
from lictor.cli.call import OK, Call, CommandError, UsageWanted
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl policy create -name NAME [options]

  Creates a policy with rules.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("name", "string", "Name of the policy.")
    flags.add("description", "string", "Description.")
    flags.add("valid-datacenter", "strings", "Datacenter the policy is for; else all. May be given several times.")
    flags.add("rules", "string", "Rules: the text itself, - for standard input or @file.")
    flags.add("from-token", "string", "Take the rules of this old token.")
    flags.add("token-secret", "bool", "-from-token is a secret, not an accessor ID.")


def run(call: Call) -> int:
    """Create and print it."""
    if not call.flag("name"):
        raise UsageWanted("Missing require '-name' flag", blank=False)
    if call.flag("from-token") and call.flag("rules"):
        raise CommandError("Cannot specify both -rules and -from-token")
    try:
        policy = {
            "Name": call.flag("name"),
            "Description": call.flag("description"),
            "Datacenters": call.flag("valid-datacenter") or [],
            "Rules": _rules(call),
        }
        created = call.client.put_json("/v1/acl/policy", policy).json()
    except ApiError as error:
        raise CommandError(f"Failed to create new policy: {error}") from None
    call.out("\n".join(show.policy(created, call.flag("meta", False))))
    return OK


def _rules(call: Call) -> str:
    source = call.flag("from-token")
    if not source:
        return text_of(call.flag("rules"), "Error loading rules:") if call.flag("rules") else ""
    if call.flag("token-secret", False):
        found = call.client.get(f"/v1/acl/info/{source}").json()
        rules = found[0]["Rules"] if found else ""
    else:
        rules = call.client.get(f"/v1/acl/token/{token_id(call, source)}").json().get("Rules", "")
    answer = call.client.request_ok("POST", "/v1/acl/rules/translate", rules.encode())
    return answer.body.decode("utf-8", "replace")
