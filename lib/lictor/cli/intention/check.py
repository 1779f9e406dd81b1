"""`consul intention check`: would a connection be allowed."""

from __future__ import annotations

from lictor.cli.call import OK, Call
from lictor.cli.client import ApiError

USAGE = """
Usage: consul intention check [options] SRC DST

  Prints whether SRC may connect to DST. The exit code is 0 when it may, 1
  when not, 2 when that cannot be found out.
"""
WRONG_FLAGS = 2
COMMON = "CS"
DENIED = 1
FAILED = 2


def run(call: Call) -> int:
    """Ask and print."""
    if len(call.arguments) != 2:
        call.error("Error: command requires exactly two arguments: src and dst")
        return FAILED
    source, destination = call.arguments
    query = {"source": source, "destination": destination, "source-type": "consul"}
    try:
        allowed = call.client.get("/v1/connect/intentions/check", query).json()["Allowed"]
    except ApiError as error:
        call.error(f"Error checking the connection: {error}")
        return FAILED
    call.out("Allowed" if allowed else "Denied")
    return OK if allowed else DENIED
