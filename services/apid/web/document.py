"""What /openapi.json says about each operation, in OpenAPI 3.1's terms. FastAPI only puts it together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from apid.core.query_parameters import QUERY_PARAMETERS
from apid.core.routes import Operation, Route

TITLE = "Lictor"
DESCRIPTION = """The HTTP API of Consul 1.7.2.

Paths end in a parameter where everything after the slash is the name, further slashes included. A path with empty or
dot parts is redirected to the one without them, one with unprintable characters is answered with a bare 400. Keys of
JSON bodies are matched in any case. Errors are a line of plain text; many malformed values are answered with 500 and
the parser's words, as Consul does. Answers to reads carry `X-Consul-Index`; give it back as `index` to wait for a
change."""

DOCUMENTED_METHODS = frozenset(("GET", "PUT", "POST", "DELETE", "PATCH"))
ERRORS = {
    400: "The request cannot be understood, or a parameter is malformed",
    403: "Permission denied, or the path is blocked, or writes are not taken from this address",
    429: "Too many connections from this client",
    500: "The request failed; the text says why. Consul answers so to many malformed values, too",
}
AREAS = {
    "acl": "Access control: tokens, policies, roles, auth methods",
    "agent": "This agent: its services, checks, members, itself",
    "catalog": "Nodes and services of the datacenter",
    "config": "Configuration entries",
    "connect": "Certificates and intentions",
    "coordinate": "Network coordinates",
    "discovery-chain": "Compiled discovery chains",
    "event": "User events",
    "health": "Health checks and healthy instances",
    "internal": "What the web page reads",
    "kv": "Keys and values",
    "operator": "Raft, autopilot, encryption keys",
    "prometheus": "The catalog as targets for Prometheus",
    "query": "Prepared queries",
    "root": "What is not under /v1",
    "session": "Sessions, which hold locks",
    "snapshot": "The whole state as an archive",
    "status": "Raft's leader and peers",
    "txn": "Several operations, all or none",
    "validate": "Checks of other endpoints' input",
    "watch": "Changes as server-sent events",
}
SECURITY_SCHEMES = {
    "X-Consul-Token": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Consul-Token",
        "description": "The secret ID of an ACL token.",
    },
    "Bearer": {"type": "http", "scheme": "bearer", "description": "The same as a bearer token."},
    "token": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "The same as a parameter; it wins over the headers.",
    },
}
READ_HEADERS = {
    "X-Consul-Index": "The index of this state: wait for a newer one with `index`.",
    "X-Consul-Knownleader": "Whether there is a leader.",
    "X-Consul-Lastcontact": "Milliseconds since the answering server heard from the leader.",
}
_NAME = re.compile(r"\{([^}]+)\}")


def area(path: str) -> str:
    """The tag of a path: what follows /v1/."""
    parts = path.strip("/").split("/")
    return parts[1] if len(parts) > 1 and parts[0] == "v1" else "root"


def tags(routes: Iterable[Route]) -> list[dict[str, str]]:
    """The areas that have routes, described."""
    found = {area(route.pattern) for route in routes}
    return [{"name": name, "description": AREAS.get(name, name)} for name in sorted(found)]


def operation_id(method: str, path: str) -> str:
    """A name for the operation that is one in all languages: `get_v1_kv_key`."""
    return "_".join([method.lower(), *re.findall(r"[A-Za-z0-9]+", path)])


def is_documented(method: str, operation: Operation, path: str) -> bool:
    """HEAD and OPTIONS say nothing new, and the root answers every method the same."""
    return method in DOCUMENTED_METHODS and not (path == "/" and method != "GET")


def responses(method: str, operation: Operation) -> dict[int | str, dict[str, Any]]:
    """What may come back, by status."""
    text_content = {"text/plain": {"schema": {"type": "string"}}}
    found: dict[int | str, dict[str, Any]] = {}
    for status, text in sorted({**ERRORS, **operation.responses}.items()):
        found[status] = {"description": text}
        if status in operation.json_statuses:
            assert operation.result is not None
            found[status]["content"] = {
                operation.result_type: {"schema": dict(operation.result)},
                **text_content,
            }
        elif status >= 400 and status not in operation.bare_statuses:
            found[status]["content"] = text_content
    success: dict[str, Any] = {"description": operation.summary}
    if operation.result is not None:
        success["content"] = {operation.result_type: {"schema": dict(operation.result)}}
        for other_type in operation.other_types:
            success["content"][other_type] = {"schema": {"type": "string"}}
    if "index" in operation.query:
        success["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in READ_HEADERS.items()
        }
    found[200] = success
    return found


def request(path: str, operation: Operation) -> dict[str, Any]:
    """Parameters and body."""
    described: dict[str, Any] = {"parameters": _parameters(path, operation)}
    if operation.body is not None:
        described["requestBody"] = {"content": {"application/json": {"schema": operation.body.schema()}}}
    elif operation.raw_body:
        described["requestBody"] = {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}
    return described


def _parameters(path: str, operation: Operation) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _NAME.findall(path)
    ]
    names = operation.query
    if operation.result is not None and operation.result_type == "application/json" and "pretty" not in names:
        names = (*names, "pretty")
    for name in names:
        parameter = QUERY_PARAMETERS[name]
        found.append(
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": parameter.description,
                "schema": dict(parameter.schema),
            }
        )
    if "cached" in operation.query:
        found.append(
            {
                "name": "Cache-Control",
                "in": "header",
                "required": False,
                "description": "With cached: max-age=<seconds>, must-revalidate, stale-if-error=<seconds>.",
                "schema": {"type": "string"},
            }
        )
    return found


def complete(made: dict[str, Any]) -> dict[str, Any]:
    """Adds what FastAPI cannot know: the ways to give a token, none of which is needed while ACLs are off."""
    made.setdefault("components", {})["securitySchemes"] = SECURITY_SCHEMES
    made["security"] = [{}, *({name: []} for name in SECURITY_SCHEMES)]
    return made
