"""Finding an intention by its ID or by source and destination."""

from __future__ import annotations

from typing import Any

from lictor.cli.call import Call, CommandError
from lictor.cli.client import ApiError

Intention = dict[str, Any]


def find(client_call: Call, source: str, destination: str) -> Intention | None:
    """The intention between two services, or None. Raises ApiError."""
    for intention in client_call.client.get("/v1/connect/intentions").json() or ():
        if (intention["SourceName"], intention["DestinationName"]) == (source, destination):
            found: Intention = intention
            return found
    return None


def identity(call: Call) -> str:
    """The ID of the intention the arguments name. Raises CommandError when there is none."""
    if len(call.arguments) == 1:
        return call.arguments[0]
    if len(call.arguments) != 2:
        raise CommandError("Error: command requires exactly 1 or 2 arguments")
    source, destination = call.arguments
    try:
        found = find(call, source, destination)
    except ApiError as error:
        raise CommandError(f"Error: {error}") from None
    if found is None:
        raise CommandError(f'Error: Intention with source "{source}" and destination "{destination}" not found.')
    return str(found["ID"])


def show(intention: Intention) -> str:
    """`source => destination (action)`."""
    return f"{intention['SourceName']} => {intention['DestinationName']} ({intention['Action']})"
