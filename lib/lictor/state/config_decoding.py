"""A configuration entry from a request's JSON: field names in any case, weak types, unknown keys refused.

Consul decodes these bodies loosely: a number where a text belongs becomes its text, `connect_timeout` is
`ConnectTimeout`. What does not fit is refused with its texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lictor.state.config_entries import (
    GLOBAL,
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

TEXT, NUMBER, UNSIGNED, FRACTION, TRUTH = "text", "number", "unsigned", "fraction", "truth"
DURATION, FREE_MAP = "duration", "free map"
UNSIGNED_MAX = (1 << 32) - 1
_TYPES = {TEXT: "string", NUMBER: "int", UNSIGNED: "uint32", FRACTION: "float32", TRUTH: "bool"}
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
    "NumRetries": UNSIGNED,
    "RetryOnConnectFailure": TRUTH,
    "RetryOnStatusCodes": [UNSIGNED],
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
    PROXY_DEFAULTS: {"Config": FREE_MAP, "MeshGateway": _MESH_GATEWAY, "Expose": _EXPOSE},
    ROUTER: {"Routes": [{"Match": {"HTTP": _HTTP}, "Destination": _DESTINATION}]},
    SPLITTER: {"Splits": [{"Weight": FRACTION, "Service": TEXT, "ServiceSubset": TEXT, "Namespace": TEXT}]},
    RESOLVER: {
        "DefaultSubset": TEXT,
        "Subsets": {MAP: {"Filter": TEXT, "OnlyPassing": TRUTH}},
        "Redirect": {"Service": TEXT, "ServiceSubset": TEXT, "Namespace": TEXT, "Datacenter": TEXT},
        "Failover": {MAP: {"Service": TEXT, "ServiceSubset": TEXT, "Namespace": TEXT, "Datacenters": [TEXT]}},
        "ConnectTimeout": DURATION,
    },
}
_COMMON = {"Kind": TEXT, "Name": TEXT, "CreateIndex": NUMBER, "ModifyIndex": NUMBER}
_SNAKE_NAMES: dict[str, frozenset[str]] = {
    SERVICE_DEFAULTS: frozenset({"mesh_gateway", "external_sni"}),
    PROXY_DEFAULTS: frozenset({"mesh_gateway", "local_path_port", "listener_port"}),
    ROUTER: frozenset(
        {
            "num_retries",
            "path_exact",
            "path_prefix",
            "path_regex",
            "prefix_rewrite",
            "query_param",
            "request_timeout",
            "retry_on_connect_failure",
            "retry_on_status_codes",
            "service_subset",
        }
    ),
    SPLITTER: frozenset({"service_subset"}),
    RESOLVER: frozenset({"connect_timeout", "default_subset", "only_passing", "service_subset"}),
}
"""Names with underscores that each kind knows."""
_KINDS_OF_VALUES = {str: "string", list: "slice", dict: "map", bool: "bool", int: "float64", float: "float64"}
_TYPES_OF_VALUES = _KINDS_OF_VALUES | {list: "[]interface {}", dict: "map[string]interface {}"}


def decode_entry(payload: Any) -> ConfigEntry:
    """The entry of a request. Errors: Refused, kind `bad-request`, with what follows `Request decoding failed: `."""
    payload = {} if payload is None else payload
    if not isinstance(payload, Mapping):
        raise Refused(f"'' expected a map, got '{_KINDS_OF_VALUES[type(payload)]}'", "bad-request")
    kind = payload.get("Kind", payload.get("kind"))
    if "Kind" not in payload and "kind" not in payload:
        raise Refused("Payload does not contain a kind/Kind key at the top level", "bad-request")
    if not isinstance(kind, str):
        raise Refused("Kind value in payload is not a string", "bad-request")
    if kind not in KINDS:
        raise Refused(f"invalid config entry kind: {kind}", "bad-request")
    decoding = _Decoding(_SNAKE_NAMES[kind])
    fields = decoding.fields(payload, _COMMON | _SHAPES[kind], "")
    decoding.refuse_problems()
    if decoding.unknown:
        raise Refused(several_errors([f"invalid config key {quote(key)}" for key in decoding.unknown]), "bad-request")
    name = GLOBAL if kind == PROXY_DEFAULTS else fields.get("Name") or ""
    return ConfigEntry(kind, name, config_body(kind, fields))


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
    """One body: collects what is wrong while it goes on. Without names, any name may have underscores."""

    def __init__(self, snake_names: frozenset[str] | None = None) -> None:
        self._snake_names = snake_names
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
        found: dict[str, Any] = {}
        # The exact name goes first, as any other spelling of it is then unknown.
        for key, value in sorted(item.items(), key=lambda pair: pair[0] not in shape):
            folded = key.lower()
            if self._snake_names is None or folded in self._snake_names:
                folded = folded.replace("_", "")
            name = names.get(folded)
            if name is None or name in found:
                self.unknown.append(f"{path}.{key}" if path else key)
            else:
                found[name] = self._value(value, shape[name], f"{path}.{name}" if path else name)
        return found

    def _value(self, value: Any, shape: Any, path: str) -> Any:
        if value is None:
            return None
        if shape == FREE_MAP:
            return value if isinstance(value, Mapping) else None if value == [] else self._wrong(path, "a map", value)
        if isinstance(shape, dict):
            # A block of HCL is a list of one object.
            if isinstance(value, list) and len(value) == 1:
                value = value[0]
            if value == []:
                return {}
            if isinstance(value, Mapping):
                return self.fields(value, shape, path)
            return self._wrong(path, "a map", value)
        if isinstance(shape, list):
            items = value if isinstance(value, list) else [] if value == {} else [value]
            return [self._value(item, shape[0], f"{path}[{number}]") for number, item in enumerate(items)]
        if shape == DURATION:
            return self._duration(value, path)
        if shape == UNSIGNED:
            number = self._scalar(value, UNSIGNED, path)
            return None if number is None else int(number) & UNSIGNED_MAX
        return self._scalar(value, shape, path)

    def _duration(self, value: Any, path: str) -> Any:
        if isinstance(value, str):
            try:
                return parse_duration_ns(value)
            except DurationError as error:
                self.problems.append(f"error decoding '{path}': {error}")
                return 0
        return self._scalar(value, NUMBER, path)

    def _scalar(self, value: Any, shape: str, path: str) -> Any:
        if isinstance(value, (Mapping, list)):
            return self._wrong(path, f"type '{_TYPES[shape]}'", value)
        if shape == TEXT:
            if isinstance(value, bool):
                return "1" if value else "0"
            return value if isinstance(value, str) else f"{float(value):.17g}" if value % 1 else str(int(value))
        if shape == TRUTH:
            if isinstance(value, str):
                if value.lower() in ("1", "t", "true", "0", "f", "false", ""):
                    return value.lower() in ("1", "t", "true")
                self.problems.append(f"cannot parse '{path}' as bool: {_not_parsed('ParseBool', value)}")
                return False
            return bool(value)
        if isinstance(value, str):
            try:
                return float(value) if "." in value else int(value, 0)
            except ValueError:
                self.problems.append(f"cannot parse '{path}' as int: {_not_parsed('ParseInt', value)}")
                return 0
        return int(value) if isinstance(value, bool) else value

    def _wrong(self, path: str, wanted: str, value: Any) -> None:
        if wanted == "a map":
            self.problems.append(f"'{path}' expected a map, got '{_KINDS_OF_VALUES[type(value)]}'")
        else:
            self.problems.append(
                f"'{path}' expected {wanted}, got unconvertible type '{_TYPES_OF_VALUES[type(value)]}'"
            )


def _not_parsed(function: str, text: str) -> str:
    return f"strconv.{function}: parsing {quote(text)}: invalid syntax"
