"""`consul leave`: the agent leaves the cluster and ends."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError

USAGE = """
Usage: consul leave [options]

  Makes the agent leave the cluster gracefully and shut down.
"""
COMMON = "C"


def run(call: Call) -> int:
    """Ask for it."""
    try:
        call.client.put("/v1/agent/leave")
    except ApiError as error:
        raise CommandError(f"Error leaving: {error}") from None
    call.out("Graceful leave complete")
    return OK
