"""`consul snapshot save`: the servers' whole state into a file."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import Answer, ApiError
from lictor.cli.kv.arguments import exactly
from lictor.cli.snapshot.archive import PIECE_BYTES, ArchiveError, verify

USAGE = """
Usage: consul snapshot save [options] FILE

  Saves a snapshot of the servers' state: keys, catalog, sessions, queries,
  ACLs. The file is read back and checked.
"""
COMMON = "CS"


def run(call: Call) -> int:
    """Fetch, write, read back."""
    if not call.arguments:
        raise CommandError("Missing FILE argument")
    exactly(call, 1)
    path = call.arguments[0]
    try:
        response = call.client.open("GET", "/v1/snapshot", stale=True)
        if response.status != 200:
            text = Answer(response.status, response.headers, response.read()).body.decode("utf-8", "replace")
            raise ApiError(f"Unexpected response code: {response.status} ({text})")
        with open(path, "wb") as file:
            while piece := response.read(PIECE_BYTES):
                file.write(piece)
        with open(path, "rb") as file:
            meta = verify(file)
    except ApiError as error:
        raise CommandError(f"Error saving snapshot: {error}") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"Error creating snapshot file: open {path}: {reason}") from None
    except ArchiveError as error:
        raise CommandError(f"Error verifying snapshot file: {error}") from None
    call.out(f"Saved and verified snapshot to index {meta.get('Index')}")
    return OK
