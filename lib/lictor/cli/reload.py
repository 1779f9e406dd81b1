"""`consul reload`: the agent reads its configuration again."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError

USAGE = """
Usage: consul reload

  Makes the agent read its configuration files again. Not every setting can
  change while it runs; those that cannot stay as they are.
"""
COMMON = "C"


def run(call: Call) -> int:
    """Ask for it."""
    try:
        call.client.put("/v1/agent/reload")
    except ApiError as error:
        raise CommandError(f"Error reloading: {error}") from None
    call.out("Configuration reload triggered")
    return OK
