"""`consul snapshot inspect`: what a snapshot file holds, without an agent."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.kv.arguments import exactly
from lictor.cli.snapshot.archive import ArchiveError, verify
from lictor.cli.table import WIDE_GAP, table

USAGE = """
Usage: consul snapshot inspect [options] FILE

  Checks a snapshot file and prints what it says about itself. Needs no
  agent.
"""


def run(call: Call) -> int:
    """Verify and print."""
    if not call.arguments:
        raise CommandError("Missing FILE argument")
    exactly(call, 1)
    try:
        with open(call.arguments[0], "rb") as file:
            meta = verify(file)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"Error opening snapshot file: open {call.arguments[0]}: {reason}") from None
    except ArchiveError as error:
        raise CommandError(f"Error verifying snapshot: {error}") from None
    call.out(table([[name, str(meta.get(name, ""))] for name in ("ID", "Size", "Index", "Term", "Version")], WIDE_GAP))
    call.out("")
    return OK
