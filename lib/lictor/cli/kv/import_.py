"""`consul kv import`: put a tree into the store that `consul kv export` wrote."""

from __future__ import annotations

from typing import Any, NamedTuple

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.kv import base64_text
from lictor.cli.kv.arguments import data, exactly
from lictor.config import gojson
from lictor.config.goflags import UINT64_MAX

USAGE = """
Usage: consul kv import [DATA]

  Writes the entries of a JSON text as kv export prints it. DATA is the text
  itself, - for the standard input or @FILE for a file.
"""
COMMON = "CSN"


class Entry(NamedTuple):
    """One key to write."""

    key: str
    flags: int
    value: str


def run(call: Call) -> int:
    """Write them in order; the first failure ends it."""
    exactly(call, 1, before="Error! ")
    if not call.arguments:
        raise CommandError("Error! Missing DATA argument")
    if not call.arguments[0]:
        raise CommandError("Error! Empty DATA argument")
    for entry in entries_of(data(call.arguments[0])):
        try:
            value = base64_text.decode(entry.value.encode())
        except base64_text.Base64Error as error:
            raise CommandError(f"Error base 64 decoding value for key {entry.key}: {error}") from None
        before = f"Error! Failed writing data for key {entry.key}"
        if entry.key.startswith("/"):
            raise CommandError(f"{before}: Invalid key. Key must not begin with a '/': {entry.key}")
        try:
            call.client.put(f"/v1/kv/{entry.key}", {"flags": str(entry.flags)} if entry.flags else {}, value)
        except ApiError as error:
            raise CommandError(f"{before}: {error}") from None
        call.out(f"Imported: {entry.key}")
    return OK


def entries_of(text: bytes) -> list[Entry]:
    """The list of entries. Raises CommandError for anything else."""
    try:
        entries = gojson.loads(text)
    except gojson.JsonError as error:
        raise CommandError(f"Cannot unmarshal data: {error}") from None
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise _mismatch(entries, "Go value of type []*impexp.Entry")
    return [_entry(fields) for fields in entries]


def _entry(fields: Any) -> Entry:
    if not isinstance(fields, dict):
        raise _mismatch(fields, "Go value of type impexp.Entry")
    found = {name.lower(): value for name, value in fields.items() if value is not None}
    for name in ("key", "value"):
        if not isinstance(found.get(name, ""), str):
            raise _mismatch(found[name], f"Go struct field Entry.{name} of type string")
    flags = found.get("flags", 0)
    if type(flags) is not int or not 0 <= flags <= UINT64_MAX:
        raise _mismatch(flags, "Go struct field Entry.flags of type uint64", show_number=True)
    return Entry(found.get("key", ""), flags, found.get("value", ""))


def _mismatch(value: Any, wanted: str, show_number: bool = False) -> CommandError:
    return CommandError(f"Cannot unmarshal data: {gojson.mismatch(value, wanted, show_number)}")
