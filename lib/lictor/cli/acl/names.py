"""Finding tokens, policies, roles and rules by the beginning of their ID or by name; reading common arguments."""

from __future__ import annotations

from typing import Any

from lictor.cli.call import Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.kv.arguments import data
from lictor.state.gotext import quote

UUID_LENGTH = 36
NOT_FOUND = 404
BUILT_IN_NAMES = {"token": "anonymous", "policy": "global-management"}
BUILT_IN_IDS = {"token": "00000000-0000-0000-0000-000000000002", "policy": "00000000-0000-0000-0000-000000000001"}
"""Records that may be named where an ID is wanted."""
Entry = dict[str, Any]


def token_id(call: Call, prefix: str) -> str:
    """The accessor ID that begins so. Raises CommandError."""
    try:
        return accessor_id(call, prefix)
    except (ApiError, CommandError) as error:
        raise CommandError(f"Error determining token ID: {error}") from None


def accessor_id(call: Call, prefix: str) -> str:
    """The same, with errors as they come. Raises ApiError, CommandError."""
    return _by_prefix(call, "/v1/acl/tokens", "AccessorID", prefix, "token")


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
    if prefix == BUILT_IN_NAMES.get(what):
        return BUILT_IN_IDS[what]
    if len(prefix) == UUID_LENGTH:
        return prefix
    found = [entry[key] for entry in call.client.get(path).json() or () if entry[key].startswith(prefix)]
    if not found:
        raise CommandError(f"No such {what} ID with prefix: {prefix}")
    if len(found) > 1:
        raise CommandError(f"Partial {what} ID is not unique")
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
        # Consul names the ID that it did not find: none.
        raise CommandError(f"Error resolving {what} ID : {error}") from None


def identities(call: Call) -> list[Entry]:
    """The service identities that -service-identity tells: `name` or `name:dc1,dc2`. Raises CommandError."""
    found: list[Entry] = []
    for text in call.flag("service-identity", ()):
        name, mark, datacenters = text.partition(":")
        if ":" in datacenters:
            raise CommandError(f"Malformed -service-identity argument: {quote(text)}")
        found.append({"ServiceName": name, **({"Datacenters": datacenters.split(",")} if mark else {})})
    return found


def named_role(call: Call, name: str) -> str:
    """The ID of the role of a name. Raises ApiError, CommandError."""
    return _named(call, "/v1/acl/roles", name, "role")


def merged(present: list[Entry] | None, added: list[Entry]) -> list[Entry]:
    """The present links and those added that are not among them, by ID or name."""
    result = list(present or ())
    for entry in added:
        if not any(entry.get(key) and entry.get(key) == other.get(key) for other in result for key in ("ID", "Name")):
            result.append(entry)
    return result


def merged_identities(present: list[Entry] | None, added: list[Entry]) -> list[Entry]:
    """The present service identities and those added, which replace what has their name."""
    by_name = {entry["ServiceName"]: entry for entry in present or ()}
    return list((by_name | {entry["ServiceName"]: entry for entry in added}).values())


def text_of(argument: str, before: str = "Error!") -> str:
    """An argument that may be - or @file, as text. Raises CommandError, which begins with `before`."""
    try:
        return data(argument).decode("utf-8", "replace")
    except CommandError as error:
        raise CommandError(str(error).replace("Error!", before, 1)) from None
