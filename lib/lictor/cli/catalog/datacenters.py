"""`consul catalog datacenters`: their names."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError

USAGE = """
Usage: consul catalog datacenters [options]

  Prints the known datacenters, the nearest first.
"""
COMMON = "CS"


def run(call: Call) -> int:
    """Read and print."""
    if call.arguments:
        raise CommandError(f"Too many arguments (expected 0, got {len(call.arguments)})")
    try:
        names = call.client.get("/v1/catalog/datacenters").json()
    except ApiError as error:
        raise CommandError(f"Error listing datacenters: {error}") from None
    for name in names:
        call.out(name)
    return OK
