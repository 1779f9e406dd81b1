"""`consul kv put`: write a key, or take or release its lock."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.kv import base64_text
from lictor.cli.kv.arguments import data, exactly
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul kv put [options] KEY [DATA]

  Writes DATA to a key. DATA is the text itself, - for standard input, or
  @file for the content of a file.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("acquire", "bool", "Take the key's lock for -session.")
    flags.add("base64", "bool", "DATA is base64 and is decoded first.")
    flags.add("cas", "bool", "Write only if the key still has -modify-index.")
    flags.add("flags", "uint", "Number to keep with the key, of meaning to its users only.")
    flags.add("modify-index", "uint", "The ModifyIndex the key must have.")
    flags.add("release", "bool", "Release the key's lock of -session.")
    flags.add("session", "string", "Session that takes or releases the lock.")


def run(call: Call) -> int:
    """Check the flags against each other, write, say what happened."""
    exactly(call, 2, "1 or 2", before="Error! ")
    if not call.arguments:
        raise CommandError("Error! Missing KEY argument")
    key = call.arguments[0]
    value = data(call.arguments[1]) if len(call.arguments) > 1 else b""
    if call.flag("base64", False):
        try:
            value = base64_text.decode(value)
        except base64_text.Base64Error as error:
            raise CommandError(f"Error! Cannot base 64 decode data: {error}") from None
    cas, acquire, release = (call.flag(name, False) for name in ("cas", "acquire", "release"))
    index, session = call.flag("modify-index", 0), call.flag("session")
    if (release or acquire) and not session:
        raise CommandError("Error! Missing -session (required with -acquire and -release)")
    if cas and index == 0:
        raise CommandError("Must specify -modify-index with -cas!")
    if key.startswith("/"):
        before = f"Error! Did not write to {key}" if cas else "Error! Failed writing data"
        raise CommandError(f"{before}: Invalid key. Key must not begin with a '/': {key}")
    query = {"flags": str(call.flag("flags", 0))} if call.flag("flags", 0) else {}
    if cas:
        query["cas"] = str(index)
        return _put(call, key, query, value, "Did not write to {}: CAS failed", "Data written to: {}")
    if acquire:
        query["acquire"] = session
        return _put(call, key, query, value, "Did not acquire lock", "Lock acquired on: {}")
    if release:
        query["release"] = session
        return _put(call, key, query, value, "Did not release lock", "Lock released on: {}")
    return _put(call, key, query, value, "Did not write to {}", "Data written to: {}")


def _put(call: Call, key: str, query: dict[str, str], value: bytes, failed: str, done: str) -> int:
    try:
        written = call.client.put(f"/v1/kv/{key}", query, value).body.strip() == b"true"
    except ApiError as error:
        before = f"Did not write to {key}" if "cas" in query else "Failed writing data"
        raise CommandError(f"Error! {before}: {error}") from None
    if not written:
        raise CommandError(f"Error! {failed.format(key)}")
    call.out(f"Success! {done.format(key)}")
    return OK
