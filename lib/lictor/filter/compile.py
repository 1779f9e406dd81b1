"""Expressions checked against an endpoint's fields and turned into one function.

Missing fields are zero; a missing map key makes `==`, `in` and `is not empty` false and all others true. A selector
that goes through a list asks whether the operator, negated or not, holds for any element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lictor.filter.fields import FieldType, ListOf, MapOf, Scalar, Struct
from lictor.filter.grammar import All, Any_, Expression, Match, Not, Operator, SyntaxProblem, parse
from lictor.regexp import RegexpError, compiled
from lictor.state.gotext import quote

FAILED = "Failed to create boolean expression evaluator: "
"""What most endpoints put before the error's text."""

Predicate = Callable[[Any], bool]
Path = tuple[tuple[str, str], ...]
"""How to get to the value: ("field" | "key" | "each", name)."""


class FilterError(Exception):
    """The expression is not valid for this endpoint; the text is Consul's, without `FAILED`."""


class FilterSyntaxError(FilterError):
    """The expression cannot be read at all."""


_NEGATIONS = {
    Operator.NOT_EQUAL: Operator.EQUAL,
    Operator.NOT_IN: Operator.IN,
    Operator.IS_NOT_EMPTY: Operator.IS_EMPTY,
    Operator.NOT_MATCHES: Operator.MATCHES,
}
_FALSE_WHEN_MISSING = (Operator.EQUAL, Operator.IN, Operator.IS_NOT_EMPTY)
_MISSING = object()
"""What a map has under a key that is not there."""


def compile_filter(text: str, fields: Struct) -> Predicate:
    """A function that says whether an element is kept; an empty expression keeps all. Errors: FilterError."""
    if not text:
        return lambda element: True
    try:
        expression = parse(text)
    except SyntaxProblem as problem:
        raise FilterSyntaxError(str(problem)) from problem
    return _compile(expression, fields)


def _compile(expression: Expression, fields: Struct) -> Predicate:
    if isinstance(expression, Match):
        return _compile_match(expression, fields)
    if isinstance(expression, Not):
        inner = _compile(expression.operand, fields)
        return lambda element: not inner(element)
    operands = [_compile(operand, fields) for operand in expression.operands]
    if isinstance(expression, All):
        return lambda element: all(operand(element) for operand in operands)
    assert isinstance(expression, Any_), "an unknown kind of expression"
    return lambda element: any(operand(element) for operand in operands)


def _compile_match(match: Match, fields: Struct) -> Predicate:
    path, kind = _resolve(match.selector, fields)
    operator = _NEGATIONS.get(match.operator, match.operator)
    plain = _leaf(match, operator, kind)
    negated = operator is not match.operator
    when_missing = match.operator not in _FALSE_WHEN_MISSING

    def leaf(value: Any) -> bool:
        return when_missing if value is _MISSING else plain(value) is not negated

    return _walk(path, leaf)


def _resolve(selector: tuple[str, ...], fields: Struct) -> tuple[Path, FieldType]:
    path: list[tuple[str, str]] = []
    kind: FieldType = fields
    for position, part in enumerate(selector):
        while isinstance(kind, ListOf):
            path.append(("each", ""))
            kind = kind.element
        if isinstance(kind, MapOf):
            path.append(("key", part))
            kind = kind.value
        elif isinstance(kind, Mapping) and part in kind:
            path.append(("field", part))
            kind = kind[part]
        else:
            raise FilterError(f"Selector {quote('.'.join(selector[: position + 1]))} is not valid")
    return tuple(path), kind


def _walk(path: Path, leaf: Predicate) -> Predicate:
    """A function that follows the path and asks the leaf."""
    if not path:
        return leaf
    (step, name), rest = path[0], _walk(path[1:], leaf)
    if step == "each":
        return lambda value: any(rest(element) for element in value or ())
    if step == "key":
        return lambda value: rest(value.get(name, _MISSING) if isinstance(value, Mapping) else _MISSING)
    return lambda value: rest(value.get(name) if isinstance(value, Mapping) else value)


def _leaf(match: Match, operator: Operator, kind: FieldType) -> Predicate:
    if operator is Operator.EQUAL and isinstance(kind, Scalar):
        wanted = _coerce(match, kind)
        zero = _ZEROS[kind]
        return lambda value: bool((zero if value is None else value) == wanted)
    if operator is Operator.IN:
        return _membership(match, kind)
    if operator is Operator.MATCHES and kind is Scalar.STRING:
        try:
            pattern = compiled(match.value)
        except RegexpError as error:
            raise FilterError(f"Failed to compile regular expression {quote(match.value)}: {error}") from error
        return lambda value: pattern.found_in(value or "")
    if operator is Operator.IS_EMPTY and isinstance(kind, (ListOf, MapOf)):
        return lambda value: not value
    raise _unsupported(match)


def _membership(match: Match, kind: FieldType) -> Predicate:
    if kind is Scalar.STRING:
        return lambda value: match.value in (value or "")
    if isinstance(kind, MapOf):
        return lambda value: match.value in (value or ())
    if isinstance(kind, ListOf) and isinstance(kind.element, Scalar):
        wanted = _coerce(match, kind.element)
        return lambda value: wanted in (value or ())
    raise _unsupported(match)


def _unsupported(match: Match) -> FilterError:
    return FilterError(f"Invalid match operator {quote(match.operator.value)} for selector {quote(_shown(match))}")


def _shown(match: Match) -> str:
    return ".".join(match.selector)


_ZEROS: dict[Scalar, Any] = {Scalar.STRING: "", Scalar.INT: 0, Scalar.BOOL: False, Scalar.FLOAT: 0.0}
_BOOLS = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "false", "FALSE", "False"), False
)
_INTEGER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9][0-9]*)")
INT_MAX = (1 << 63) - 1


def _coerce(match: Match, kind: Scalar) -> Any:
    text = match.value
    if kind is Scalar.STRING:
        return text
    if kind is Scalar.BOOL:
        if text in _BOOLS:
            return _BOOLS[text]
        raise _not_coerced(match, f"strconv.ParseBool: parsing {quote(text)}: invalid syntax")
    if kind is Scalar.FLOAT:
        try:
            return float(text)
        except ValueError:
            raise _not_coerced(match, f"strconv.ParseFloat: parsing {quote(text)}: invalid syntax") from None
    if _INTEGER.fullmatch(text) is None:
        raise _not_coerced(match, f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    octal = re.fullmatch(r"([+-]?)0([0-7]+)", text)
    number = int(f"{octal[1]}0o{octal[2]}" if octal else text, 0)
    if abs(number) > INT_MAX:
        raise _not_coerced(match, f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    return number


def _not_coerced(match: Match, problem: str) -> FilterError:
    return FilterError(f"Failed to coerce value {quote(match.value)} for selector {quote(_shown(match))}: {problem}")
