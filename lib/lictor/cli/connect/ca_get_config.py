"""`consul connect ca get-config`: the certificate authority's configuration."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config import gojson

USAGE = """
Usage: consul connect ca get-config [options]

  Prints the configuration of the certificate authority as JSON.
"""
FLAG_ERROR = "Failed to parse args: {}"
COMMON = "CS"


def run(call: Call) -> int:
    """Read and print."""
    try:
        config = call.client.get("/v1/connect/ca/configuration").json()
    except ApiError as error:
        raise CommandError(f"Error querying CA configuration: {error}") from None
    call.out(gojson.dumps(config, indent="\t"))
    return OK
