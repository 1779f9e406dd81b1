"""`consul acl set-agent-token`: give the agent a token to use."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError

USAGE = """
Usage: consul acl set-agent-token [options] TYPE TOKEN

  Gives the agent a token. TYPE is default, agent, agent_master (or master)
  or replication.
"""
COMMON = "CS"


TYPES = {
    "default": "default",
    "agent": "agent",
    "master": "agent_master",
    "agent_master": "agent_master",
    "replication": "replication",
}


def run(call: Call) -> int:
    """Send it."""
    if not call.arguments:
        raise CommandError("Error! Missing TYPE and TOKEN arguments")
    if len(call.arguments) == 1:
        raise CommandError("Error! Missing TOKEN argument")
    if len(call.arguments) > 2:
        raise CommandError(f"Error! Too many arguments: expected 2 got {len(call.arguments)}")
    kind, token = call.arguments
    if kind not in TYPES:
        raise CommandError("Unknown token type")
    try:
        call.client.put_json(f"/v1/agent/token/{TYPES[kind]}", {"Token": token})
    except ApiError as error:
        raise CommandError(f'Failed to set ACL token "{kind}": {error}') from None
    call.out(f'ACL token "{kind}" set successfully')
    return OK
