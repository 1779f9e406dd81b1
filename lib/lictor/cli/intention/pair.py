"""Finding an intention by its ID or by source and destination."""

from __future__ import annotations

from typing import Any

from lictor.cli.call import Call, CommandError
from lictor.cli.client import ApiError

DEFAULT_NAMESPACE = "default"

Intention = dict[str, Any]


def find(client_call: Call, source: str, destination: str) -> Intention | None:
    """The intention between two services, or None. Raises ApiError."""
    wanted = (_without_default(source), _without_default(destination))
    for intention in client_call.client.get("/v1/connect/intentions").json() or ():
        if (end(intention, "Source"), end(intention, "Destination")) == wanted:
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


def end(intention: Intention, side: str) -> str:
    """One end of an intention ("Source" or "Destination"): its name, behind its namespace unless that is default."""
    found = {key.lower(): value for key, value in intention.items()}
    name, namespace = found.get(f"{side.lower()}name") or "", found.get(f"{side.lower()}ns") or ""
    return f"{namespace}/{name}" if namespace not in ("", DEFAULT_NAMESPACE) else str(name)


def show(intention: Intention) -> str:
    """`source => destination (action)`."""
    action = next((value for key, value in intention.items() if key.lower() == "action"), "")
    return f"{end(intention, 'Source')} => {end(intention, 'Destination')} ({action})"


def _without_default(name: str) -> str:
    return name.removeprefix(f"{DEFAULT_NAMESPACE}/")
