"""`consul kv delete`: remove a key or a tree of keys."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.kv.arguments import exactly
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul kv delete [options] KEY_OR_PREFIX

  Removes a key; with -recurse all keys that begin with the prefix.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("cas", "bool", "Remove only if the key still has -modify-index.")
    flags.add("modify-index", "uint", "The ModifyIndex the key must have.")
    flags.add("recurse", "bool", "Remove all keys that begin with the prefix.")


def run(call: Call) -> int:
    """Remove and say so."""
    exactly(call, 1)
    key = call.arguments[0].removeprefix("/") if call.arguments else ""
    cas, recurse = call.flag("cas", False), call.flag("recurse", False)
    index = call.flag("modify-index", 0)
    if not key and not recurse:
        raise CommandError("Error! Missing KEY argument")
    if cas and index == 0:
        raise CommandError("Must specify -modify-index with -cas!")
    if index != 0 and not cas:
        raise CommandError("Cannot specify -modify-index without -cas!")
    if cas and recurse:
        raise CommandError("Cannot specify both -cas and -recurse!")
    query = {"recurse": ""} if recurse else {"cas": str(index)} if cas else {}
    what = f"prefix {key}" if recurse else f"key {key}"
    try:
        removed = call.client.delete(f"/v1/kv/{key}", query).body.strip() == b"true"
    except ApiError as error:
        before = f"Error! Did not delete {what}" if cas or recurse else f"Error deleting {what}"
        raise CommandError(f"{before}: {error}") from None
    if not removed:
        raise CommandError(f"Error! Did not delete {what}: CAS failed")
    call.out(f"Success! Deleted keys with prefix: {key}" if recurse else f"Success! Deleted key: {key}")
    return OK
