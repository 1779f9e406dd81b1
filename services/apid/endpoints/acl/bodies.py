"""The bodies of access control requests."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from apid.core.decoding import (
    ANY_MAP,
    BOOL,
    TEXT,
    TEXT_MAP,
    TEXTS,
    UINT64,
    DecodeError,
    Duration,
    Kind,
    ListOf,
    Struct,
    Text,
)

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")
_LAYOUT = '"\\"2006-01-02T15:04:05Z07:00\\""'
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NANOSECONDS_DIGITS = 9


class _Time(Kind):
    """A time in RFC 3339, in nanoseconds since 1970; None for the beginning of year 1, which counts as none."""

    go_name = "time.Time"

    def take(self, value: Any, where: str) -> int | None:
        match = _TIME.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise DecodeError(_time_problem(value))
        try:
            moment = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
            since = moment - _EPOCH
        except (ValueError, OverflowError):
            raise DecodeError(f'parsing time "\\"{value}\\"": day out of range') from None
        seconds = since.days * 86400 + since.seconds
        if (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second) == (1, 1, 1, 0, 0, 0):
            return None
        fraction = (match[2] or "")[:NANOSECONDS_DIGITS].ljust(NANOSECONDS_DIGITS, "0")
        return seconds * 10**9 + int(fraction)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


def _time_problem(value: Any) -> str:
    """As Go says of a value that is no time; how far it got is told only for its beginning."""
    if not isinstance(value, str):
        text = json.dumps(value)
        return f'parsing time "{text}" as {_LAYOUT}: cannot parse "{text}" as "\\""'
    quoted = f'\\"{value}\\"'
    return f'parsing time "{quoted}" as {_LAYOUT}: cannot parse "{value}\\"" as "2006"'


class _Resource(Text):
    go_name = "acl.Resource"


class _Alias(Struct):
    """A record that Consul decodes by way of a nameless struct, which shows in errors."""

    def __init__(self, shape: str, fields: dict[str, Kind]) -> None:
        super().__init__("", fields)
        self.go_name = shape


_HASHED = "struct { Hash string; *structs.Alias }"
_RECORD = {"CreateIndex": UINT64, "ModifyIndex": UINT64}


class _Records(ListOf):
    """A list of records; null among them is an empty one."""

    def take(self, value: Any, where: str) -> list[Any]:
        return [{} if item is None else item for item in super().take(value, where)]


def _links(go_name: str) -> Kind:
    return _Records(Struct(go_name, {"ID": TEXT, "Name": TEXT}, whole_path=True))


_SERVICE_IDENTITIES = _Records(
    Struct("ACLServiceIdentity", {"ServiceName": TEXT, "Datacenters": TEXTS}, whole_path=True)
)


TOKEN = _Alias(
    "struct { ExpirationTTL interface {}; Hash string; *structs.Alias }",
    {
        "AccessorID": TEXT,
        "SecretID": TEXT,
        "Description": TEXT,
        "Policies": _links("ACLTokenPolicyLink"),
        "Roles": _links("ACLTokenRoleLink"),
        "ServiceIdentities": _SERVICE_IDENTITIES,
        "Rules": TEXT,
        "Local": BOOL,
        "AuthMethod": TEXT,
        "ExpirationTime": _Time(),
        "ExpirationTTL": Duration(loose=True),
        "CreateTime": _Time(),
        "Hash": TEXT,
        **_RECORD,
    },
)
POLICY = _Alias(
    _HASHED,
    {"ID": TEXT, "Name": TEXT, "Description": TEXT, "Rules": TEXT, "Datacenters": TEXTS, "Hash": TEXT, **_RECORD},
)
ROLE = _Alias(
    _HASHED,
    {
        "ID": TEXT,
        "Name": TEXT,
        "Description": TEXT,
        "Policies": _links("ACLRolePolicyLink"),
        "ServiceIdentities": _SERVICE_IDENTITIES,
        "Hash": TEXT,
        **_RECORD,
    },
)
BINDING_RULE = Struct(
    "ACLBindingRule",
    {
        "ID": TEXT,
        "Description": TEXT,
        "AuthMethod": TEXT,
        "Selector": TEXT,
        "BindType": TEXT,
        "BindName": TEXT,
        **_RECORD,
    },
)
AUTH_METHOD = Struct("ACLAuthMethod", {"Name": TEXT, "Type": TEXT, "Description": TEXT, "Config": ANY_MAP, **_RECORD})
LOGIN = Struct("ACLLoginParams", {"AuthMethod": TEXT, "BearerToken": TEXT, "Meta": TEXT_MAP})
LEGACY_TOKEN = Struct("ACL", {"ID": TEXT, "Name": TEXT, "Type": TEXT, "Rules": TEXT, **_RECORD})
_RESOURCE = Struct("ACLAuthorizationRequest", {"Resource": _Resource(), "Segment": TEXT, "Access": TEXT})
QUESTIONS = _Records(_RESOURCE)
