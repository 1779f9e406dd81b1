"""`consul acl bootstrap`: the first token."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError

USAGE = """
Usage: consul acl bootstrap [options]

  Makes the first token of the ACL system, which may do everything. Works
  once.
"""
COMMON = "CS"


def run(call: Call) -> int:
    """Ask for it and print the token."""
    try:
        token = call.client.put("/v1/acl/bootstrap").json()
    except ApiError as error:
        raise CommandError(f"Failed ACL bootstrapping: {error}") from None
    call.out("\n".join(show.token(token, meta=False)))
    return OK
