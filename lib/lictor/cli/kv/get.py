"""`consul kv get`: read a key, a tree of keys, or their names."""

from __future__ import annotations

import base64
import sys
from typing import Any

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.kv.arguments import exactly
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul kv get [options] [KEY_OR_PREFIX]

  Prints the value of a key. With -recurse all keys below a prefix with their
  values, with -keys only the names.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("base64", "bool", "Print values in base64.")
    flags.add("detailed", "bool", "Print flags, indexes and session, too.")
    flags.add("keys", "bool", "Print names only.")
    flags.add("recurse", "bool", "Print all keys below the prefix.")
    flags.add("separator", "string", "With -keys, stop names at this text; / when not given.", "/")


def run(call: Call) -> int:
    """Read and print."""
    exactly(call, 1)
    key = call.arguments[0].removeprefix("/") if call.arguments else ""
    if not key and not (call.flag("keys", False) or call.flag("recurse", False)):
        raise CommandError("Error! Missing KEY argument")
    try:
        if call.flag("keys", False):
            return _names(call, key)
        if call.flag("recurse", False):
            return _tree(call, key)
        return _one(call, key)
    except ApiError as error:
        raise CommandError(f"Error querying Consul agent: {error}") from None


def _names(call: Call, prefix: str) -> int:
    query = {"keys": "", "separator": call.flag("separator", "/")}
    answer = call.client.get(f"/v1/kv/{prefix}", query, missing_ok=True, terse=True)
    for name in answer.json() if answer.status == 200 else ():
        call.out(name)
    return OK


def _tree(call: Call, prefix: str) -> int:
    answer = call.client.get(f"/v1/kv/{prefix}", {"recurse": ""}, missing_ok=True, terse=True)
    entries: list[dict[str, Any]] = answer.json() if answer.status == 200 else []
    for number, entry in enumerate(entries):
        if call.flag("detailed", False):
            if number:
                call.out("")
            _detailed(call, entry)
        else:
            _write(entry["Key"].encode() + b":" + _value(call, entry) + b"\n")
    return OK


def _one(call: Call, key: str) -> int:
    answer = call.client.get(f"/v1/kv/{key}", missing_ok=True, terse=True)
    if answer.status == 404:
        raise CommandError(f"Error! No key exists at: {key}")
    entry = answer.json()[0]
    if call.flag("detailed", False):
        _detailed(call, entry)
    else:
        _write(_value(call, entry) + b"\n")
    return OK


def _value(call: Call, entry: dict[str, Any]) -> bytes:
    encoded: str = entry["Value"] or ""
    return encoded.encode() if call.flag("base64", False) else base64.b64decode(encoded)


def _detailed(call: Call, entry: dict[str, Any]) -> None:
    rows = [
        ("CreateIndex", str(entry["CreateIndex"])),
        ("Flags", str(entry["Flags"])),
        ("Key", entry["Key"]),
        ("LockIndex", str(entry["LockIndex"])),
        ("ModifyIndex", str(entry["ModifyIndex"])),
        ("Session", entry.get("Session") or "-"),
    ]
    width = max(len(name) for name, _ in rows) + 6
    for name, text in rows:
        call.out(f"{name.ljust(width)}{text}")
    value = _value(call, entry)
    _write((b"Value".ljust(width) if value else b"Value") + value + b"\n")


def _write(data: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
