"""`consul config write`: create or change a configuration entry."""

from __future__ import annotations

import sys
from typing import Any

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.config.kinds import KINDS
from lictor.config import gojson, hcl
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul config write [options] <configuration>

  Writes the configuration entry in a file of HCL or JSON; - reads standard
  input.
"""
COMMON = "CSN"
UNDECODABLE = "Failed to decode config entry input: "


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("cas", "bool", "Write only if the entry still has -modify-index.")
    flags.add("modify-index", "uint", "The ModifyIndex the entry must have.")


def run(call: Call) -> int:
    """Read the file and write the entry."""
    if len(call.arguments) != 1:
        raise CommandError("Must provide exactly one positional argument to specify the config entry to write")
    entry = parse(_text(call.arguments[0]))
    kind, name = entry["Kind"], entry.get("Name", "")
    query = {"cas": str(call.flag("modify-index", 0))} if call.flag("cas", False) else {}
    if kind not in KINDS:
        raise CommandError(f"{UNDECODABLE}invalid config entry kind: {kind}")
    try:
        written = call.client.put_json("/v1/config", entry, query).body.strip() == b"true"
    except ApiError as error:
        if (reason := _undecodable(str(error))) is not None:
            raise CommandError(UNDECODABLE + reason) from None
        raise CommandError(f'Error writing config entry "{kind}" / "{name}": {error}') from None
    if not written:
        raise CommandError(f'Config entry "{kind}" / "{name}" not updated')
    return OK


def _undecodable(error: str) -> str | None:
    """What the agent says of an entry it cannot read, without the words around it."""
    _, found, reason = error.partition("(Bad request: Request decoding failed: ")
    return reason.removesuffix(")") if found else None


def _text(path: str) -> str:
    if path == "-":
        return sys.stdin.read()
    if not path:
        raise CommandError("Failed to load data: Failed to load data: must specify a file path or '-' for stdin")
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"Failed to load data: Failed to read file: open {path}: {reason}") from None


def parse(text: str) -> dict[str, Any]:
    """The entry in a text of HCL or JSON; the API takes snake_case and CamelCase keys alike. Raises CommandError."""
    try:
        raw = gojson.loads(text) if text.lstrip().startswith("{") else unwrapped(hcl.parse(text))
    except ValueError as error:
        raise CommandError(f"{UNDECODABLE}{UNDECODABLE}{error}") from None
    entry = dict(raw) if isinstance(raw, dict) else {}
    for key in list(entry):
        if key in ("kind", "name"):
            entry[key.capitalize()] = entry.pop(key)
    if "Kind" not in entry:
        raise CommandError(f"{UNDECODABLE}Payload does not contain a kind/Kind key at the top level")
    if not isinstance(entry["Kind"], str):
        raise CommandError(f"{UNDECODABLE}Kind value in payload is not a string")
    return entry


def unwrapped(value: Any) -> Any:
    """HCL's blocks as objects; a block that may be repeated stays a list."""
    if isinstance(value, dict):
        return {
            key: [unwrapped(item) for item in inner]
            if key.lower().replace("_", "") in _LISTS and isinstance(inner, list)
            else unwrapped(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return unwrapped(value[0]) if len(value) == 1 and isinstance(value[0], dict) else [unwrapped(i) for i in value]
    return value


_LISTS = frozenset(
    {"routes", "splits", "paths", "header", "queryparam", "methods", "datacenters", "retryonstatuscodes"}
)
"""Keys of configuration entries that hold lists, without underscores."""
