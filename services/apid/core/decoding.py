"""Request bodies, decoded as Go's encoding/json decodes them into a struct that allows no unknown fields.

A body's shape is a tree of `Kind`s. Keys match in any case, null leaves a field unset, a value of the wrong type
or an unknown key is refused with Go's text. What comes out is plain dictionaries with the declared field names.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from lictor.state import gojson
from lictor.state.gotext import parse_duration_ns

MAX_NESTING = 512
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")


class DecodeError(ValueError):
    """The body is not JSON of the wanted shape; the text is what Go says."""


class Kind:
    """What a JSON value has to be. `go_name` is how Go calls the type in errors."""

    go_name = "interface {}"
    zero: Any = None
    """What null is among the elements of a list or the values of a map."""
    takes_null = False
    """Whether null is a value to a field of this kind; otherwise it leaves the field unset."""

    def take(self, value: Any, where: str) -> Any:
        """The value in Python's terms. Errors: DecodeError."""
        return value

    def schema(self) -> dict[str, Any]:
        """The kind as JSON Schema."""
        return {}

    def _refuse(self, value: Any, where: str) -> DecodeError:
        return DecodeError(f"json: cannot unmarshal {_json_name(value)} into Go {where} of type {self.go_name}")


def _json_name(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number" if isinstance(value, int) else f"number {value}"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


class Text(Kind):
    go_name = "string"
    zero = ""

    def take(self, value: Any, where: str) -> str:
        if isinstance(value, str):
            return value
        raise self._refuse(value, where)

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


class Boolean(Kind):
    go_name = "bool"
    zero = False

    def take(self, value: Any, where: str) -> bool:
        if isinstance(value, bool):
            return value
        raise self._refuse(value, where)

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Integer(Kind):
    """A whole number between two bounds (both included)."""

    zero = 0

    def __init__(self, low: int, high: int, go_name: str) -> None:
        self._low, self._high, self.go_name = low, high, go_name

    def take(self, value: Any, where: str) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and self._low <= value <= self._high:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            raise DecodeError(f"json: cannot unmarshal number {value} into Go {where} of type {self.go_name}")
        raise self._refuse(value, where)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer"}


class Float(Kind):
    go_name = "float64"
    zero = 0.0

    def take(self, value: Any, where: str) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        raise self._refuse(value, where)

    def schema(self) -> dict[str, Any]:
        return {"type": "number"}


class Duration(Kind):
    """A Go duration text, or a number of nanoseconds; decoded to nanoseconds.

    Where Consul looks at the value itself (`loose`), what is neither is no duration at all.
    """

    go_name = "time.Duration"

    def __init__(self, loose: bool = False) -> None:
        self._loose = loose

    def take(self, value: Any, where: str) -> int:
        if isinstance(value, str):
            try:
                return parse_duration_ns(value)
            except ValueError as error:
                raise DecodeError(str(error)) from None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
        if self._loose:
            return 0
        raise self._refuse(value, where)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "examples": ["10s"]}, {"type": "integer", "description": "nanoseconds"}]}


class Base64(Kind):
    """Bytes in standard base64."""

    go_name = "[]uint8"

    def take(self, value: Any, where: str) -> bytes:
        if not isinstance(value, str):
            raise self._refuse(value, where)
        raw = value.replace("\r", "").replace("\n", "").encode("utf-8", "surrogatepass")
        good = _BASE64.match(raw)
        assert good is not None
        if good.end() < len(raw):
            raise DecodeError(f"illegal base64 data at input byte {good.end()}")
        try:
            return base64.b64decode(raw, validate=True)
        except binascii.Error:
            raise DecodeError(f"illegal base64 data at input byte {len(raw) // 4 * 4}") from None

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "contentEncoding": "base64"}


class ListOf(Kind):
    def __init__(self, item: Kind) -> None:
        self._item = item
        self.go_name = f"[]{item.go_name}"

    def take(self, value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise self._refuse(value, where)
        return [self._item.zero if item is None else self._item.take(item, where) for item in value]

    def schema(self) -> dict[str, Any]:
        return {"type": ["array", "null"], "items": self._item.schema()}


class MapOf(Kind):
    def __init__(self, item: Kind) -> None:
        self._item = item
        self.go_name = f"map[string]{item.go_name}"

    def take(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._refuse(value, where)
        return {key: self._item.zero if item is None else self._item.take(item, where) for key, item in value.items()}

    def schema(self) -> dict[str, Any]:
        return {"type": ["object", "null"], "additionalProperties": self._item.schema()}


class Struct(Kind):
    """An object with known fields, of Go's package `structs` unless another one is named. `aliases` map other accepted
    keys to fields; `ignored` keys are let through, with `open_ended` all unknown ones. Errors name the wrong field,
    with `whole_path` also those that lead to it.

    A struct may be made before its fields (for shapes that contain themselves): give them to `define`.
    """

    def __init__(
        self,
        go_name: str,
        fields: Mapping[str, Kind] | None = None,
        aliases: Mapping[str, str] | None = None,
        ignored: tuple[str, ...] = (),
        open_ended: bool = False,
        whole_path: bool = False,
    ) -> None:
        self.go_name = go_name if "." in go_name else f"structs.{go_name}"
        self._short_name = go_name.rpartition(".")[2]
        self._in_schema = False
        self._fields: dict[str, Kind] = {}
        self._names: dict[str, str] = {}
        self._open_ended = open_ended
        self._whole_path = whole_path
        self._ignored = frozenset(key.lower() for key in ignored)
        self._aliases = {key.lower(): name for key, name in (aliases or {}).items()}
        if fields is not None:
            self.define(fields)

    def define(self, fields: Mapping[str, Kind]) -> Struct:
        """Sets the fields and returns the struct."""
        self._fields = dict(fields)
        self._names = {name.lower(): name for name in fields} | self._aliases
        return self

    def take(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._refuse(value, where)
        taken: dict[str, Any] = {}
        way = f"{where.partition('.')[2]}." if self._whole_path and "." in where else ""
        for key, item in value.items():
            name = self._names.get(key) or self._names.get(key.lower())
            if name is None:
                if self._open_ended or key.lower() in self._ignored:
                    continue
                raise DecodeError(f'json: unknown field "{key}"')
            kind = self._fields[name]
            if item is not None or kind.takes_null:
                taken[name] = kind.take(item, f"struct field {self._short_name}.{way}{name}")
        return taken

    def schema(self) -> dict[str, Any]:
        if self._in_schema:
            # A shape that contains itself is described one level deep.
            return {"type": "object"}
        self._in_schema = True
        properties = {name: _nullable(kind.schema()) for name, kind in self._fields.items()}
        self._in_schema = False
        return {"type": "object", "properties": properties}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """null leaves any field unset."""
    types = schema.get("type")
    if types is None:
        return schema
    listed = [types] if isinstance(types, str) else list(types)
    return schema if "null" in listed else {**schema, "type": [*listed, "null"]}


TEXT = Text()
BOOL = Boolean()
INT = Integer(-(1 << 63), (1 << 63) - 1, "int")
UINT64 = Integer(0, (1 << 64) - 1, "uint64")
FLOAT = Float()
DURATION = Duration()
LOOSE_DURATION = Duration(loose=True)
BASE64 = Base64()
ANY = Kind()
TEXTS = ListOf(TEXT)
TEXT_MAP = MapOf(TEXT)
ANY_MAP = MapOf(ANY)


def parse_json(body: bytes) -> Any:
    """The first JSON value of a body. Errors: DecodeError."""
    try:
        return gojson.parse(body)
    except gojson.JsonError as error:
        raise DecodeError(str(error)) from None


def decode(kind: Kind, body: bytes) -> Any:
    """A body of the wanted kind; a bare null gives what an empty object gives. Errors: DecodeError."""
    value = parse_json(body)
    if value is None and isinstance(kind, Struct):
        value = {}
    return kind.take(value, "value")
