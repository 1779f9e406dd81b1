"""`consul intention get`: everything about one intention."""

from __future__ import annotations

import re
import time
from calendar import timegm

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.intention.pair import end, identity

USAGE = """
Usage: consul intention get [options] SRC DST
Usage: consul intention get [options] ID

  Prints an intention.
"""
COMMON = "CS"


def run(call: Call) -> int:
    """Read and print."""
    name = identity(call)
    try:
        intention = call.client.get(f"/v1/connect/intentions/{name}").json()
    except ApiError as error:
        raise CommandError(f"Error reading the intention: {_worded(error)}") from None
    rows = [
        ("Source", end(intention, "Source")),
        ("Destination", end(intention, "Destination")),
        ("Action", intention["Action"]),
        ("ID", intention["ID"]),
    ]
    if intention.get("Description"):
        rows.append(("Description", intention["Description"]))
    rows += [(f"Meta[{key}]", value) for key, value in sorted((intention.get("Meta") or {}).items())]
    rows.append(("Created At", local_time(intention["CreatedAt"])))
    width = max(len(name) for name, _ in rows) + 1
    for title, text in rows:
        call.out(f"{f'{title}:'.ljust(width)}  {text}")
    return OK


def _worded(error: ApiError) -> str:
    """What Consul's client says of an intention it cannot have."""
    code, found, body = str(error).removeprefix("Unexpected response code: ").partition(" (")
    return f"Unexpected response {code}: {body.removesuffix(')')}" if found and error.status else str(error)


def local_time(text: str) -> str:
    """An RFC 3339 time as RFC 850 writes it, in local time."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if match is None:
        return text
    seconds = timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S"))
    if match[2] != "Z":
        sign = 1 if match[2][0] == "+" else -1
        seconds -= sign * (int(match[2][1:3]) * 3600 + int(match[2][4:6]) * 60)
    return time.strftime("%A, %d-%b-%y %H:%M:%S %Z", time.localtime(seconds))
