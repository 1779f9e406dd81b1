"""`consul snapshot restore`: put a saved state back."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.kv.arguments import exactly

USAGE = """
Usage: consul snapshot restore [options] FILE

  Replaces the servers' whole state by the one in a snapshot file.
"""
COMMON = "CS"


def run(call: Call) -> int:
    """Send the file."""
    if not call.arguments:
        raise CommandError("Missing FILE argument")
    exactly(call, 1)
    path = call.arguments[0]
    try:
        with open(path, "rb") as file:
            archive = file.read()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"Error opening snapshot file: open {path}: {reason}") from None
    try:
        call.client.put("/v1/snapshot", body=archive)
    except ApiError as error:
        raise CommandError(f"Error restoring snapshot: {error}") from None
    call.out("Restored snapshot")
    return OK
