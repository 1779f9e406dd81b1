"""`consul info`: the agent's own figures."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError

USAGE = """
Usage: consul info [options]

  Prints what the agent counts and knows about itself, for operators.
"""
COMMON = "C"


def run(call: Call) -> int:
    """Print sections and keys in order."""
    try:
        sections = call.client.get("/v1/agent/self").json()["Stats"]
    except ApiError as error:
        raise CommandError(f"Error querying agent: {error}") from None
    for name, values in sorted(sections.items()):
        call.out(f"{name}:")
        for key, value in sorted(values.items()):
            call.out(f"\t{key} = {value}")
    return OK
