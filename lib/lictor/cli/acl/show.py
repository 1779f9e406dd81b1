"""Tokens, policies, roles, auth methods and binding rules as text."""

from __future__ import annotations

from typing import Any

from lictor.config import duration, gojson

Entry = dict[str, Any]
TOKEN_WIDTH = 18
POLICY_WIDTH = 14
METHOD_WIDTH = 14
LINK_INDENT = "   "


def token(entry: Entry, meta: bool, secret: bool = True) -> list[str]:
    """One token in lines."""
    lines = [_row("AccessorID:", entry["AccessorID"])]
    if secret:
        lines.append(_row("SecretID:", entry.get("SecretID", "")))
    lines += [
        _row("Description:", entry["Description"]),
        _row("Local:", _go(entry["Local"])),
    ]
    if entry.get("AuthMethod"):
        lines.append(_row("Auth Method:", entry["AuthMethod"]))
    lines.append(_row("Create Time:", go_time(entry["CreateTime"])))
    if entry.get("ExpirationTime"):
        lines.append(_row("Expiration Time:", go_time(entry["ExpirationTime"])))
    if not secret:
        lines.append(_row("Legacy:", _go(entry.get("Legacy", False))))
    if meta:
        lines += _meta(entry, TOKEN_WIDTH)
    lines += _links("Policies:", entry.get("Policies"))
    lines += _links("Roles:", entry.get("Roles"))
    lines += _identities(entry.get("ServiceIdentities"))
    if secret and entry.get("Rules"):
        lines += ["Rules:", entry["Rules"]]
    return lines


def policy(entry: Entry, meta: bool) -> list[str]:
    """One policy in lines."""
    lines = [
        _row("ID:", entry["ID"], POLICY_WIDTH),
        _row("Name:", entry["Name"], POLICY_WIDTH),
        _row("Description:", entry["Description"], POLICY_WIDTH),
        _row("Datacenters:", ", ".join(entry.get("Datacenters") or ()), POLICY_WIDTH),
    ]
    if meta:
        lines += _meta(entry, POLICY_WIDTH)
    return [*lines, "Rules:", entry.get("Rules", "")]


def policy_in_list(entry: Entry, meta: bool) -> list[str]:
    """One policy as the list shows it."""
    lines = [
        f"{entry['Name']}:",
        f"{LINK_INDENT}ID:           {entry['ID']}",
        f"{LINK_INDENT}Description:  {entry['Description']}",
        f"{LINK_INDENT}Datacenters:  {', '.join(entry.get('Datacenters') or ())}",
    ]
    return lines + [LINK_INDENT + line for line in (_meta(entry, POLICY_WIDTH) if meta else ())]


def role(entry: Entry, meta: bool) -> list[str]:
    """One role in lines."""
    lines = [
        _row("ID:", entry["ID"], POLICY_WIDTH),
        _row("Name:", entry["Name"], POLICY_WIDTH),
        _row("Description:", entry["Description"], POLICY_WIDTH),
    ]
    if meta:
        lines += _meta(entry, POLICY_WIDTH)
    return [*lines, *_links("Policies:", entry.get("Policies")), *_identities(entry.get("ServiceIdentities"))]


def role_in_list(entry: Entry, meta: bool) -> list[str]:
    """One role as the list shows it."""
    lines = [
        f"{entry['Name']}:",
        f"{LINK_INDENT}ID:           {entry['ID']}",
        f"{LINK_INDENT}Description:  {entry['Description']}",
    ]
    lines += [LINK_INDENT + line for line in (_meta(entry, POLICY_WIDTH) if meta else ())]
    inner = [*_links("Policies:", entry.get("Policies")), *_identities(entry.get("ServiceIdentities"))]
    return lines + [LINK_INDENT + line for line in inner]


def auth_method(entry: Entry, meta: bool) -> list[str]:
    """One auth method in lines."""
    lines = [
        _row("Name:", entry["Name"], METHOD_WIDTH),
        _row("Type:", entry["Type"], METHOD_WIDTH),
        _row("Description:", entry["Description"], METHOD_WIDTH),
    ]
    if meta:
        lines += _indexes(entry, METHOD_WIDTH)
    text = gojson.dumps(entry.get("Config"), indent="  ")
    return [*lines, "Config:", text]


def auth_method_in_list(entry: Entry, meta: bool) -> list[str]:
    """One auth method as the list shows it."""
    lines = [
        f"{entry['Name']}:",
        f"{LINK_INDENT}Type:         {entry['Type']}",
        f"{LINK_INDENT}Description:  {entry['Description']}",
    ]
    return lines + [LINK_INDENT + line for line in (_indexes(entry, METHOD_WIDTH) if meta else ())]


def binding_rule(entry: Entry, meta: bool) -> list[str]:
    """One binding rule in lines."""
    return [_row("ID:", entry["ID"], METHOD_WIDTH), *_binding_rule_fields(entry, meta)]


def binding_rule_in_list(entry: Entry, meta: bool) -> list[str]:
    """One binding rule as the list shows it."""
    return [f"{entry['ID']}:", *(LINK_INDENT + line for line in _binding_rule_fields(entry, meta))]


def go_time(text: str) -> str:
    """An RFC 3339 time as Go prints a time."""
    if "T" not in text:
        return text
    day, _, rest = text.partition("T")
    zone = "UTC"
    clock = rest
    offset = "+0000"
    if rest.endswith("Z"):
        clock = rest[:-1]
    elif len(rest) > 6 and rest[-6] in "+-":
        clock, offset = rest[:-6], rest[-6:].replace(":", "")
        zone = "UTC" if offset == "+0000" else offset
    return f"{day} {clock} {offset} {zone}"


def expires(text_ns: int) -> str:
    """A time to live as the API takes it."""
    return duration.show(text_ns)


def _binding_rule_fields(entry: Entry, meta: bool) -> list[str]:
    lines = [
        _row("AuthMethod:", entry["AuthMethod"], METHOD_WIDTH),
        _row("Description:", entry["Description"], METHOD_WIDTH),
        _row("BindType:", entry["BindType"], METHOD_WIDTH),
        _row("BindName:", entry["BindName"], METHOD_WIDTH),
        _row("Selector:", entry.get("Selector", ""), METHOD_WIDTH),
    ]
    return lines + (_indexes(entry, METHOD_WIDTH) if meta else [])


def _row(title: str, value: object, width: int = TOKEN_WIDTH) -> str:
    return f"{title.ljust(width)}{value}"


def _indexes(entry: Entry, width: int) -> list[str]:
    wide = max(width, len("Modify Index: "))
    return [
        _row("Create Index:", entry["CreateIndex"], wide),
        _row("Modify Index:", entry["ModifyIndex"], wide),
    ]


def _meta(entry: Entry, width: int) -> list[str]:
    import base64

    try:
        digest = base64.b64decode(entry.get("Hash") or "").hex()
    except ValueError:
        digest = str(entry.get("Hash"))
    return [_row("Hash:", digest, max(width, len("Modify Index: "))), *_indexes(entry, width)]


def _links(title: str, links: list[Entry] | None) -> list[str]:
    if not links:
        return []
    return [title, *(f"{LINK_INDENT}{link['ID']} - {link['Name']}" for link in links)]


def _identities(identities: list[Entry] | None) -> list[str]:
    if not identities:
        return []
    return [
        "Service Identities:",
        *(
            f"{LINK_INDENT}{identity['ServiceName']}"
            f" (Datacenters: {', '.join(identity.get('Datacenters') or ()) or 'all'})"
            for identity in identities
        ),
    ]


def _go(value: bool) -> str:
    return "true" if value else "false"
