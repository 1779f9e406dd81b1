"""`consul logout`: destroy a token made by login."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError

USAGE = """
Usage: consul logout [options]

  Destroys the token of the request, which must be one that login made.
"""
COMMON = "CS"


def run(call: Call) -> int:
    """Log out."""
    if call.arguments:
        raise CommandError("Should have no non-flag arguments.")
    try:
        call.client.request_ok("POST", "/v1/acl/logout")
    except ApiError as error:
        raise CommandError(f"Error destroying token: {error}") from None
    return OK
