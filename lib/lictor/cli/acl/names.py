"""Finding tokens, policies, roles and rules by the beginning of their ID or by name; reading common arguments."""

from __future__ import annotations

from typing import Any

from lictor.cli.call import Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.kv.arguments import data

UUID_LENGTH = 36
Entry = dict[str, Any]


def token_id(call: Call, prefix: str) -> str:
    """The accessor ID that begins so. Raises CommandError."""
    return _determined(call, "/v1/acl/tokens", "AccessorID", prefix, "token")


def policy_id(call: Call, prefix: str) -> str:
    """The policy ID that begins so. Raises ApiError, CommandError."""
    return _by_prefix(call, "/v1/acl/policies", "ID", prefix, "policy")


def role_id(call: Call, prefix: str) -> str:
    """The role ID that begins so. Raises CommandError."""
    return _determined(call, "/v1/acl/roles", "ID", prefix, "role")


def rule_id(call: Call, prefix: str) -> str:
    """The binding rule ID that begins so. Raises CommandError."""
    return _determined(call, "/v1/acl/binding-rules", "ID", prefix, "rule", "binding rule")


def _determined(call: Call, path: str, key: str, prefix: str, what: str, title: str = "") -> str:
    try:
        return _by_prefix(call, path, key, prefix, what)
    except (ApiError, CommandError) as error:
        raise CommandError(f"Error determining {title or what} ID: {error}") from None


def _by_prefix(call: Call, path: str, key: str, prefix: str, what: str) -> str:
    if len(prefix) == UUID_LENGTH:
        return prefix
    found = [entry[key] for entry in call.client.get(path).json() or () if entry[key].startswith(prefix)]
    if not found:
        raise CommandError(f"No such {what} ID with prefix: {prefix}")
    if len(found) > 1:
        raise CommandError(f"Error: multiple {what} IDs found with prefix: {prefix}")
    return str(found[0])


def policy_of_flags(call: Call) -> str:
    """The ID of the policy that -id or -name tell. Raises CommandError."""
    identity, name = call.flag("id"), call.flag("name")
    if not identity and not name:
        raise CommandError("Must specify either the -id or -name parameters")
    try:
        return policy_id(call, identity) if identity else _named(call, "/v1/acl/policies", name, "policy")
    except (ApiError, CommandError) as error:
        raise CommandError(f"Error determining policy ID: {error}") from None


def _named(call: Call, path: str, name: str, what: str) -> str:
    for entry in call.client.get(path).json() or ():
        if entry["Name"] == name:
            return str(entry["ID"])
    raise CommandError(f"No such {what} with name {name}")


def links(call: Call) -> tuple[list[Entry], list[Entry]]:
    """The policies and roles that -policy-id, -policy-name, -role-id and -role-name tell. Raises CommandError."""
    policies = [{"Name": name} for name in call.flag("policy-name", ())]
    policies += [
        {"ID": _resolved(call, "/v1/acl/policies", identity, "policy")} for identity in call.flag("policy-id", ())
    ]
    roles = [{"Name": name} for name in call.flag("role-name", ())]
    roles += [{"ID": _resolved(call, "/v1/acl/roles", each, "role")} for each in call.flag("role-id", ())]
    return policies, roles


def _resolved(call: Call, path: str, identity: str, what: str) -> str:
    try:
        return _by_prefix(call, path, "ID", identity, what)
    except (ApiError, CommandError) as error:
        raise CommandError(f"Error resolving {what} ID {identity}: {error}") from None


def identities(call: Call) -> list[Entry]:
    """The service identities that -service-identity tells: `name` or `name:dc1,dc2`. Raises CommandError."""
    found: list[Entry] = []
    for text in call.flag("service-identity", ()):
        name, mark, datacenters = text.partition(":")
        if not name or (mark and not datacenters):
            raise CommandError(f"Malformed -service-identity argument: {text!r}".replace("'", '"'))
        found.append({"ServiceName": name, **({"Datacenters": datacenters.split(",")} if datacenters else {})})
    return found


def merged(present: list[Entry] | None, added: list[Entry]) -> list[Entry]:
    """The present entries and those added that are not among them, by ID or name."""
    result = list(present or ())
    for entry in added:
        same = any(
            any(entry.get(key) and entry.get(key) == other.get(key) for key in ("ID", "Name", "ServiceName"))
            for other in result
        )
        if not same:
            result.append(entry)
    return result


def text_of(argument: str, before: str = "Error!") -> str:
    """An argument that may be - or @file, as text. Raises CommandError, which begins with `before`."""
    try:
        return data(argument).decode("utf-8", "replace")
    except CommandError as error:
        raise CommandError(str(error).replace("Error!", before, 1)) from None
