"""`consul kv import`: keys from JSON, as `consul kv export` prints them."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.kv.arguments import data, exactly
from lictor.config import gojson

USAGE = """
Usage: consul kv import [DATA]

  Writes the keys of a JSON list one after the other. DATA is the text itself,
  - for standard input, or @file for the content of a file.
"""
COMMON = "CSN"


def run(call: Call) -> int:
    """Write them in order; the first failure ends it."""
    exactly(call, 1)
    if not call.arguments or not call.arguments[0]:
        raise CommandError("Error! Missing DATA argument")
    for entry in entries_of(data(call.arguments[0])):
        key = str(entry.get("key", "")).removeprefix("/")
        try:
            value = base64.b64decode(entry.get("value") or "", validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise CommandError(f"Error base 64 decoding value for key {key}: {error}") from None
        flags = entry.get("flags", 0)
        try:
            call.client.put(f"/v1/kv/{key}", {"flags": str(flags)} if flags else {}, value)
        except ApiError as error:
            raise CommandError(f"Error! Failed writing data for key {key}: {error}") from None
        call.out(f"Imported: {key}")
    return OK


def entries_of(text: bytes) -> list[dict[str, Any]]:
    """The list of entries. Raises CommandError for anything else."""
    try:
        entries = gojson.loads(text)
    except gojson.JsonError as error:
        raise CommandError(f"Cannot unmarshal data: {error}") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise CommandError("Cannot unmarshal data: a list of objects is wanted")
    return entries
