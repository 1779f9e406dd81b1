"""One configuration text, read strictly against the schema, and the merging of several.

What comes out has the schema's own spelling of every key and only values of the right type. Types are strict, as
Consul's are: `"80"` is no port and `1` is no text; keys match in any case; a float where an int is wanted is cut.
Everything that is wrong is reported at once.
"""

from __future__ import annotations

from typing import Any

from lictor.config import gojson, hcl, schema
from lictor.config.errors import ConfigError, several

Values = dict[str, Any]


def read(text: str, syntax: str, shape: schema.Struct = schema.TOP) -> Values:
    """Decode `text` ("json" or "hcl").

    Raises ConfigError naming the place for bad syntax, all wrong types, or all unknown keys.
    """
    try:
        raw = gojson.loads(text) if syntax == "json" else hcl.parse(text)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise ConfigError(f"json: cannot unmarshal {json_kind(raw)} into Go value of type map[string]interface {{}}")
    decoder = _Decoder(from_hcl=syntax == "hcl")
    values = decoder.struct(raw, shape, "")
    if decoder.mismatches:
        listed = "\n".join(f"* {mismatch}" for mismatch in sorted(decoder.mismatches))
        raise ConfigError(f"{len(decoder.mismatches)} error(s) decoding:\n\n{listed}")
    if decoder.unknown:
        raise ConfigError(several([f"invalid config key {key}" for key in decoder.unknown]))
    return values


def merge(base: Values, over: Values) -> Values:
    """Both, where `over` wins: scalars are replaced, objects merged member by member, lists appended."""
    merged = dict(base)
    for key, value in over.items():
        previous = merged.get(key)
        if isinstance(previous, dict) and isinstance(value, dict):
            merged[key] = merge(previous, value)
        elif isinstance(previous, list) and isinstance(value, list):
            merged[key] = previous + value
        else:
            merged[key] = value
    return merged


_ZEROS: dict[str, Any] = {
    schema.STRING: "",
    schema.BOOL: False,
    schema.INT: 0,
    schema.FLOAT: 0.0,
    schema.UINT: 0,
    schema.UINT32: 0,
    schema.UINT64: 0,
}
"""What null means among the items of a list or map."""


class _Decoder:
    """Walks one document beside its shape and gathers what does not fit."""

    def __init__(self, from_hcl: bool) -> None:
        self._from_hcl = from_hcl
        self.mismatches: list[str] = []
        self.unknown: list[str] = []

    def struct(self, raw: Any, shape: schema.Struct, path: str) -> Values:
        if isinstance(raw, list) and len(raw) <= 1:
            raw = raw[0] if raw else {}
        if raw is None:
            return {}
        if not isinstance(raw, dict):
            self._mismatch(path, f"expected a map, got '{self._kind(raw)}'")
            return {}
        found: Values = {}
        for written, value in raw.items():
            key = written.lower()
            if shape is schema.CHECK:
                key = schema.CHECK_ALIASES.get(key, key)
            if key not in shape:
                self.unknown.append(joined(path, written))
            elif value is not None and value != []:  # An empty list is as good as nothing, whatever is wanted.
                decoded = self._value(value, shape[key], joined(path, key))
                if decoded is not None:
                    found[key] = decoded
        return found

    def _value(self, raw: Any, shape: schema.Shape, path: str) -> Any:
        if isinstance(shape, str):
            return self._leaf(raw, shape, path)
        if isinstance(shape, dict):
            return self.struct(raw, shape, path)
        if isinstance(shape, schema.MapOf):
            members = self._members(raw, path)
            return {key: self.struct(value, shape.member, f"{path}[{key}]") for key, value in members.items()}
        return [self.struct(item, shape[0], f"{path}[{number}]") for number, item in enumerate(self._items(raw, path))]

    def _leaf(self, raw: Any, shape: str, path: str) -> Any:
        if shape == schema.STRINGS:
            return [self._scalar(item, schema.STRING, f"{path}[{n}]") for n, item in enumerate(self._items(raw, path))]
        if shape == schema.ANY_MAPS:
            return [self._plain(self._members(item, f"{path}[{n}]")) for n, item in enumerate(self._items(raw, path))]
        if shape == schema.ANY_MAP:
            return self._plain(self._members(raw, path))
        if shape == schema.STRING_MAP:
            members = self._members(raw, path)
            return {key: self._scalar(value, schema.STRING, f"{path}[{key}]") for key, value in members.items()}
        if shape == schema.LISTS_MAP:
            return {
                key: self._leaf(value, schema.STRINGS, f"{path}[{key}]")
                for key, value in self._members(raw, path).items()
            }
        return self._scalar(raw, shape, path)

    def _scalar(self, raw: Any, shape: str, path: str) -> Any:
        is_number = isinstance(raw, int | float) and not isinstance(raw, bool)
        if raw is None:
            return _ZEROS[shape]
        if shape in schema.UNSIGNED and is_number:
            if raw < 0:
                self.mismatches.append(f"cannot parse '{path}', {int(raw)} overflows uint")
            return int(raw)
        if shape == schema.STRING and isinstance(raw, str):
            return raw
        if shape == schema.BOOL and isinstance(raw, bool):
            return raw
        if shape == schema.INT and is_number:
            return int(raw)
        if shape == schema.FLOAT and is_number:
            return float(raw)
        self._mismatch(path, f"expected type '{shape}', got unconvertible type '{self._type_name(raw)}'")
        return None

    def _items(self, raw: Any, path: str) -> list[Any]:
        if isinstance(raw, list):
            return raw
        self._mismatch(path, f"source data must be an array or slice, got {self._kind(raw)}", colon=True)
        return []

    def _members(self, raw: Any, path: str) -> Values:
        if isinstance(raw, list) and not raw:
            return {}
        if isinstance(raw, list) and len(raw) == 1 and isinstance(raw[0], dict):
            return dict(raw[0])
        if isinstance(raw, dict):
            return raw
        if raw is None:
            return {}
        self._mismatch(path, f"expected a map, got '{self._kind(raw)}'")
        return {}

    def _plain(self, raw: Any) -> Any:
        """A free-form value; HCL's lists of one object become the object, except where a list is meant."""
        if isinstance(raw, dict):
            return {
                key: [self._plain(item) for item in value]
                if key.lower() == "upstreams" and isinstance(value, list)
                else self._plain(value)
                for key, value in raw.items()
            }
        if isinstance(raw, list):
            if self._from_hcl and len(raw) == 1 and isinstance(raw[0], dict):
                return self._plain(raw[0])
            return [self._plain(item) for item in raw]
        return raw

    def _mismatch(self, path: str, text: str, colon: bool = False) -> None:
        self.mismatches.append(f"'{path}'{':' if colon else ''} {text}")

    def _kind(self, raw: Any) -> str:
        """Go's name for the kind of value: JSON knows no whole numbers."""
        is_whole = isinstance(raw, int) and not isinstance(raw, bool)
        return "float64" if is_whole and not self._from_hcl else kind(raw)

    def _type_name(self, raw: Any) -> str:
        """Go's name for the type the parser of this syntax gives the value."""
        if isinstance(raw, int) and not isinstance(raw, bool):
            return "int" if self._from_hcl else "float64"
        if isinstance(raw, dict):
            return "map[string]interface {}"
        if isinstance(raw, list):
            return "[]map[string]interface {}" if self._from_hcl and hcl.is_objects(raw) else "[]interface {}"
        return {bool: "bool", str: "string", float: "float64"}[type(raw)]


def kind(raw: Any) -> str:
    """Go's name for the kind of value."""
    if isinstance(raw, bool):
        return "bool"
    if isinstance(raw, dict):
        return "map"
    if isinstance(raw, list):
        return "slice"
    return {int: "int", float: "float64", str: "string", type(None): "invalid"}[type(raw)]


def json_kind(raw: Any) -> str:
    """Go's name for the kind of JSON value."""
    if isinstance(raw, bool):
        return "bool"
    if isinstance(raw, list):
        return "array"
    return "string" if isinstance(raw, str) else "number"


def joined(path: str, key: str) -> str:
    """The path of a member."""
    return f"{path}.{key}" if path else key
