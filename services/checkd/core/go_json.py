"""JSON bodies decoded the strict way of Consul 1.7's HTTP API.

Keys match without regard to case, unknown ones are refused, `null` leaves a field at its zero value, and every
refusal carries the text that Go's decoder gives, since clients match on it. What a type looks like is a table
(`Shape`): key to attribute and kind; the outcome is a plain dict of attribute to value, which the caller turns into
its struct.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from checkd.core.duration import parse_duration
from checkd.core.errors import InvalidDefinition
from lictor.state import gojson


class Kind(Enum):
    """What a field holds; the value is Go's name of the type, as its errors print it."""

    STRING = "string"
    INTEGER = "int"
    BOOLEAN = "bool"
    STRINGS = "[]string"
    STRING_MAP = "map[string]string"
    HEADERS = "map[string][]string"
    DURATION = "time.Duration"
    ANY_MAP = "map[string]interface {}"


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of objects of one shape."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object of any keys whose values are objects of one shape."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Shape:
    """A Go struct: its name and its keys (lower case) with attribute name and kind.

    One that `decodes_itself` has no name in Go's errors, and what is wrong inside it is told of the field it is in.
    """

    name: str
    fields: Mapping[str, tuple[str, FieldKind]]
    decodes_itself: bool = False
    go_type: str = ""
    """What Go calls the type where not an object was given; by default the name."""
    type_names: Mapping[str, str] = field(default_factory=dict)
    """Go's names of types, by key, that are not plain."""
    lenient: bool = False
    """Unknown keys are read over."""


FieldKind = Kind | Shape | ListOf | MapOf


def parse(body: bytes) -> Any:
    """The first JSON value of a body; raises InvalidDefinition with the words of Go's decoder."""
    try:
        return gojson.parse(body)
    except gojson.JsonError as error:
        raise InvalidDefinition(f"Request decode failed: {error}") from None


def decode(value: Any, shape: Shape) -> dict[str, Any]:
    """Attributes of an object of the shape; raises InvalidDefinition naming what does not fit."""
    try:
        return _object(value, shape, _TOP)
    except ValueError as error:
        raise InvalidDefinition(f"Request decode failed: {error}") from None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value stands, as Go's errors say it."""

    struct: str
    path: tuple[str, ...]
    fixed: bool = False
    """Inside of something that decodes itself: errors name the field that holds that."""

    def of_field(self, shape: Shape, key: str) -> _Place:
        if self.fixed:
            return self
        return _Place("" if shape.decodes_itself else shape.name, (*self.path, key), False)

    def __str__(self) -> str:
        return f"Go struct field {self.struct}.{'.'.join(self.path)}"


_TOP = _Place("", ())


def _object(value: Any, shape: Shape, place: _Place) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        go_type = shape.go_type or f"structs.{shape.name}"
        raise _mismatch(value, f"{place} of type {go_type}" if place.path else f"Go value of type {go_type}")
    if shape.decodes_itself and place.path:
        place = _Place(place.struct, place.path, True)
    result: dict[str, Any] = {}
    for key, item in value.items():
        known = shape.fields.get(key.lower())
        if known is None:
            if shape.lenient:
                continue
            raise ValueError(f'json: unknown field "{key}"')
        if item is None:
            continue
        attribute, kind = known
        decoded = _field(item, kind, place.of_field(shape, key), shape.type_names.get(key.lower(), ""))
        if attribute in result and key.lower() not in (attribute.replace("_", ""), attribute) and result[attribute]:
            continue
        result[attribute] = decoded
    return {attribute: item for attribute, item in result.items() if attribute}


def _field(value: Any, kind: FieldKind, place: _Place, go_type: str = "") -> Any:
    if isinstance(kind, Shape):
        return _object(value, kind, place)
    if isinstance(kind, ListOf):
        if not isinstance(value, list):
            raise _mismatch(value, f"{place} of type {go_type or f'[]structs.{kind.shape.name}'}")
        return [_object(item, kind.shape, place) for item in value]
    if isinstance(kind, MapOf):
        if not isinstance(value, dict):
            raise _mismatch(value, f"{place} of type map[string]structs.{kind.shape.name}")
        return {key: _object(item, kind.shape, place) for key, item in value.items()}
    return _scalar(value, kind, str(place), go_type)


def _scalar(value: Any, kind: Kind, where: str, go_type: str = "") -> Any:
    target = f"{where} of type {go_type or kind.value}"
    match kind:
        case Kind.STRING if isinstance(value, str):
            return value
        case Kind.BOOLEAN if isinstance(value, bool):
            return value
        case Kind.INTEGER if isinstance(value, int) and not isinstance(value, bool):
            return value
        case Kind.DURATION:
            return _duration(value)
        case Kind.STRINGS if isinstance(value, list):
            return [_text(item, where) for item in value]
        case Kind.STRING_MAP if isinstance(value, dict):
            return {key: _text(item, where) for key, item in value.items()}
        case Kind.HEADERS if isinstance(value, dict):
            return {key: _scalar(item, Kind.STRINGS, where) for key, item in value.items() if item is not None}
        case Kind.ANY_MAP if isinstance(value, dict):
            return value
    raise _mismatch(value, target)


def _text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _mismatch(value, f"{where} of type string")
    return value


def _duration(value: Any) -> int:
    """Text such as `10s`, or a number of nanoseconds; anything else counts as not given (Consul 1.7: api)."""
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    return 0


def _mismatch(value: Any, target: str) -> ValueError:
    match value:
        case bool():
            given = "bool"
        case int():
            given = "number"
        case float():
            given = f"number {value}"
        case str():
            given = "string"
        case list():
            given = "array"
        case _:
            given = "object"
    return ValueError(f"json: cannot unmarshal {given} into {target}")
