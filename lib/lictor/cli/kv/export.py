"""`consul kv export`: a tree of keys as JSON."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.kv.arguments import exactly
from lictor.config import gojson

USAGE = """
Usage: consul kv export [KEY_OR_PREFIX]

  Prints all keys below a prefix as JSON, with their values in base64, as
  `consul kv import` takes it.
"""
COMMON = "CSN"


def run(call: Call) -> int:
    """Read and print."""
    exactly(call, 1)
    prefix = call.arguments[0].removeprefix("/") if call.arguments else ""
    try:
        answer = call.client.get(f"/v1/kv/{prefix}", {"recurse": ""}, missing_ok=True, terse=True)
    except ApiError as error:
        raise CommandError(f"Error querying Consul agent: {error}") from None
    entries = answer.json() if answer.status == 200 else []
    shown = [{"key": entry["Key"], "flags": entry["Flags"], "value": entry["Value"] or ""} for entry in entries]
    call.out(gojson.dumps(shown, indent="\t"))
    return OK
