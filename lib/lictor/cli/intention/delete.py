"""`consul intention delete`: remove an intention."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.intention.pair import identity

USAGE = """
Usage: consul intention delete [options] SRC DST
Usage: consul intention delete [options] ID

  Removes an intention.
"""
COMMON = "CS"


def run(call: Call) -> int:
    """Remove it."""
    name = identity(call)
    try:
        call.client.delete(f"/v1/connect/intentions/{name}")
    except ApiError as error:
        raise CommandError(f"Error reading the intention: {error}") from None
    call.out("Intention deleted.")
    return OK
