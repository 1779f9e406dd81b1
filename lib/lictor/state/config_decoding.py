"""A configuration entry from a request's JSON: field names in any case, weak types, unknown keys refused.

Consul decodes these bodies loosely: a number where a text belongs becomes its text, `connect_timeout` is
`ConnectTimeout`. What does not fit is refused with its texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lictor.state.config_entries import (
    KINDS,
    PROXY_DEFAULTS,
    RESOLVER,
    ROUTER,
    SERVICE_DEFAULTS,
    SPLITTER,
    config_body,
    problem_of,
)
from lictor.state.gotext import DurationError, parse_duration_ns, quote
from lictor.state.rows import ConfigEntry
from lictor.state.several_errors import several_errors
from lictor.state.writer import Refused

TEXT, NUMBER, TRUTH, DURATION, ANYTHING = "text", "number", "truth", "duration", "anything"
MAP = "*"
"""As the only key of a shape: a map with free keys."""

_MESH_GATEWAY = {"Mode": TEXT}
_EXPOSE = {
    "Checks": TRUTH,
    "Paths": [
        {"ListenerPort": NUMBER, "Path": TEXT, "LocalPathPort": NUMBER, "Protocol": TEXT, "ParsedFromCheck": TRUTH}
    ],
}
_DESTINATION = {
    "Service": TEXT,
    "ServiceSubset": TEXT,
    "Namespace": TEXT,
    "PrefixRewrite": TEXT,
    "RequestTimeout": DURATION,
    "NumRetries": NUMBER,
    "RetryOnConnectFailure": TRUTH,
    "RetryOnStatusCodes": [NUMBER],
}
_HEADER = {
    "Name": TEXT,
    "Present": TRUTH,
    "Exact": TEXT,
    "Prefix": TEXT,
    "Suffix": TEXT,
    "Regex": TEXT,
    "Invert": TRUTH,
}
_HTTP = {
    "PathExact": TEXT,
    "PathPrefix": TEXT,
    "PathRegex": TEXT,
    "Header": [_HEADER],
    "QueryParam": [{"Name": TEXT, "Present": TRUTH, "Exact": TEXT, "Regex": TEXT}],
    "Methods": [TEXT],
}
_SHAPES: dict[str, dict[str, Any]] = {
    SERVICE_DEFAULTS: {"Protocol": TEXT, "MeshGateway": _MESH_GATEWAY, "Expose": _EXPOSE, "ExternalSNI": TEXT},
    PROXY_DEFAULTS: {"Config": ANYTHING, "MeshGateway": _MESH_GATEWAY, "Expose": _EXPOSE},
    ROUTER: {"Routes": [{"Match": {"HTTP": _HTTP}, "Destination": _DESTINATION}]},
    SPLITTER: {"Splits": [{"Weight": NUMBER, "Service": TEXT, "ServiceSubset": TEXT, "Namespace": TEXT}]},
    RESOLVER: {
        "DefaultSubset": TEXT,
        "Subsets": {MAP: {"Filter": TEXT, "OnlyPassing": TRUTH}},
        "Redirect": {"Service": TEXT, "ServiceSubset": TEXT, "Namespace": TEXT, "Datacenter": TEXT},
        "Failover": {MAP: {"Service": TEXT, "ServiceSubset": TEXT, "Namespace": TEXT, "Datacenters": [TEXT]}},
        "ConnectTimeout": DURATION,
    },
}
_COMMON = {"Kind": TEXT, "Name": TEXT, "CreateIndex": NUMBER, "ModifyIndex": NUMBER, "Namespace": TEXT}


def decode_entry(payload: Mapping[str, Any]) -> ConfigEntry:
    """The entry of a request. Errors: Refused, kind `bad-request`, with what follows `Request decoding failed: `."""
    kind = payload.get("Kind", payload.get("kind"))
    if kind is None:
        raise Refused("Payload does not contain a kind/Kind key at the top level", "bad-request")
    if not isinstance(kind, str):
        raise Refused("Kind value in payload is not a string", "bad-request")
    if kind not in KINDS:
        raise Refused(f"invalid config entry kind: {kind}", "bad-request")
    decoding = _Decoding()
    fields = decoding.fields(payload, _COMMON | _SHAPES[kind], "")
    decoding.refuse_problems()
    if decoding.unknown:
        raise Refused(several_errors([f"invalid config key {quote(key)}" for key in decoding.unknown]), "bad-request")
    return ConfigEntry(kind, fields.get("Name") or "", config_body(kind, fields))


def decode_fields(payload: Mapping[str, Any], shape: Mapping[str, Any]) -> dict[str, Any]:
    """A body of another shape, decoded as loosely; unknown keys are let be. Errors: Refused, kind `bad-request`."""
    decoding = _Decoding()
    fields = decoding.fields(payload, shape, "")
    decoding.refuse_problems()
    return fields


def validate_entry(entry: ConfigEntry) -> None:
    """Errors: Refused, when the entry is wrong in itself. Its chains are checked when it is applied."""
    problem = problem_of(entry.kind, entry.name, entry.body)
    if problem:
        raise Refused(problem)


class _Decoding:
    """One body: collects what is wrong while it goes on."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.unknown: list[str] = []

    def refuse_problems(self) -> None:
        if self.problems:
            listed = "\n".join(f"* {problem}" for problem in self.problems)
            raise Refused(f"{len(self.problems)} error(s) decoding:\n\n{listed}", "bad-request")

    def fields(self, item: Mapping[str, Any], shape: Mapping[str, Any], path: str) -> dict[str, Any]:
        if MAP in shape:
            return {key: self._value(value, shape[MAP], f"{path}[{key}]") for key, value in item.items()}
        names = {name.lower(): name for name in shape}
        found = {}
        for key, value in item.items():
            name = names.get(key.lower()) or names.get(key.lower().replace("_", ""))
            if name is None:
                self.unknown.append(f"{path}.{key}" if path else key)
            else:
                found[name] = self._value(value, shape[name], f"{path}.{name}" if path else name)
        return found

    def _value(self, value: Any, shape: Any, path: str) -> Any:
        if value is None or shape == ANYTHING:
            return value
        if isinstance(shape, dict):
            # A block of HCL is a list of one object.
            if isinstance(value, list) and len(value) == 1:
                value = value[0]
            if isinstance(value, Mapping):
                return self.fields(value, shape, path)
            return self._wrong(path, "a map", value)
        if isinstance(shape, list):
            items = value if isinstance(value, list) else [value]
            return [self._value(item, shape[0], f"{path}[{number}]") for number, item in enumerate(items)]
        if shape == DURATION:
            return self._duration(value, path)
        return self._scalar(value, shape, path)

    def _duration(self, value: Any, path: str) -> Any:
        if isinstance(value, str):
            try:
                return parse_duration_ns(value) if value else 0
            except DurationError as error:
                self.problems.append(f"error decoding '{path}': {error}")
                return 0
        return self._scalar(value, NUMBER, path)

    def _scalar(self, value: Any, shape: str, path: str) -> Any:
        if isinstance(value, (Mapping, list)):
            return self._wrong(path, {TEXT: "string", NUMBER: "number", TRUTH: "bool"}[shape], value)
        if shape == TEXT:
            if isinstance(value, bool):
                return "1" if value else "0"
            return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
        if shape == TRUTH:
            if isinstance(value, str):
                if value.lower() in ("1", "t", "true", "0", "f", "false", ""):
                    return value.lower() in ("1", "t", "true")
                return self._wrong(path, "bool", value)
            return bool(value)
        if isinstance(value, str):
            try:
                return float(value) if "." in value else int(value, 0)
            except ValueError:
                return self._wrong(path, "number", value)
        return int(value) if isinstance(value, bool) else value

    def _wrong(self, path: str, wanted: str, value: Any) -> None:
        self.problems.append(f"'{path}' expected {wanted}, got unconvertible type '{type(value).__name__}'")
