"""The template language of prepared queries: text with `${…}` in it.

Between the braces: variables, calls, whole and decimal numbers, quoted texts (with `${…}` of their own), `( )` and the
operators `+ - * / %`, all of one precedence and from left to right. `$$` stands for `$`. What comes out is text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

NESTING_MAX = 50
"""Quoted texts, calls and parentheses within each other."""
SYNTAX_ERROR = "parse error: syntax error"

Value = str | int | float


class TemplateProblem(ValueError):
    """The template cannot be filled in; the text is Consul's."""


class FormatProblem(TemplateProblem):
    """The text is not a template at all."""


class Function(NamedTuple):
    """What a template may call: with so many whole numbers."""

    arguments: int
    call: Callable[..., str]


class Scope(NamedTuple):
    variables: Mapping[str, str]
    functions: Mapping[str, Function]


_TEXT = re.compile(r"(?:[^$]|\$\$|\$(?![{$]))*")
_QUOTED_TEXT = re.compile(r'(?:[^$"\\]|\\.|\$\$|\$(?![{$]))*', re.DOTALL)
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_IDENTIFIER = re.compile(r"[^\W\d_](?:\w|-|\.\*?)*")
_OPERATOR = re.compile(r"[-+*/%]")
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


def fill(text: str, scope: Scope) -> str:
    """The text with its places filled in. Errors: FormatProblem, TemplateProblem."""
    if "$" not in text:
        return text
    # Everything is read before anything is looked up, and looked up before anything is worked out.
    _Reader(text, None).whole()
    _Reader(text, scope, working_out=False).whole()
    return _Reader(text, scope).whole()


class _Reader:
    """Reads and fills in at once; without a scope it only reads, without working out it only looks up."""

    def __init__(self, text: str, scope: Scope | None, working_out: bool = True) -> None:
        self._working_out = working_out and scope is not None
        self._text = text
        self._scope = scope
        self._at = 0
        self._depth = 0

    def whole(self) -> str:
        parts: list[str] = []
        while self._at < len(self._text):
            parts.append(self._take(_TEXT).replace("$$", "$"))
            if self._at < len(self._text):
                parts.append(_shown(self._place()))
        return "".join(parts)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]

    def _takes(self, literal: str) -> bool:
        self._take(_SPACE)
        if not self._text.startswith(literal, self._at):
            return False
        self._at += len(literal)
        return True

    def _need(self, literal: str) -> None:
        if not self._takes(literal):
            raise FormatProblem(SYNTAX_ERROR)

    def _place(self) -> Value:
        self._need("${")
        value = self._expression()
        self._need("}")
        return value

    def _expression(self) -> Value:
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise FormatProblem(SYNTAX_ERROR)
        self._take(_SPACE)
        value = self._operand()
        while True:
            self._take(_SPACE)
            operator = self._take(_OPERATOR)
            if not operator:
                break
            value = self._calculated(value, operator, self._operand())
        self._depth -= 1
        return value

    def _operand(self) -> Value:
        self._take(_SPACE)
        # Of white space before a name, the last counts as its beginning.
        start = self._at - 1 if self._text[self._at - 1].isspace() else self._at
        if self._takes("-"):
            return self._calculated(0, "-", self._operand())
        if self._takes("("):
            value = self._expression()
            self._need(")")
            return value
        if self._takes('"'):
            return self._quoted()
        if number := self._take(_NUMBER):
            return float(number) if "." in number else int(number)
        name = self._take(_IDENTIFIER)
        if not name:
            raise FormatProblem(SYNTAX_ERROR)
        if self._takes("("):
            return self._call(name, start)
        if self._scope is None:
            return ""
        value_of = self._scope.variables.get(name)
        if value_of is None:
            raise self._problem(start, f"unknown variable accessed: {name}")
        return value_of

    def _quoted(self) -> str:
        parts: list[str] = []
        while self._at < len(self._text) and self._text[self._at] != '"':
            taken = self._take(_QUOTED_TEXT).replace("$$", "$")
            parts.append(re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), taken, flags=re.DOTALL))
            if self._text.startswith("${", self._at):
                parts.append(_shown(self._place()))
            elif self._text[self._at : self._at + 1] not in ('"', ""):
                raise FormatProblem(SYNTAX_ERROR)
        if self._at >= len(self._text):
            raise FormatProblem(SYNTAX_ERROR)
        self._at += 1
        return "".join(parts)

    def _call(self, name: str, start: int) -> Value:
        arguments: list[Value] = []
        if not self._takes(")"):
            arguments.append(self._expression())
            while self._takes(","):
                arguments.append(self._expression())
            self._need(")")
        if self._scope is None:
            return ""
        function = self._scope.functions.get(name)
        if function is None:
            raise self._problem(start, f"unknown function called: {name}")
        if len(arguments) != function.arguments:
            raise self._problem(start, f"{name}: expected {function.arguments} arguments, got {len(arguments)}")
        if not self._working_out:
            return ""
        return function.call(*(_whole_number(argument) for argument in arguments))

    def _calculated(self, left: Value, operator: str, right: Value) -> Value:
        if not self._working_out:
            return 0
        decimal = isinstance(left, float) or (isinstance(right, float) and isinstance(left, str))
        one, two = (_decimal(left), _decimal(right)) if decimal else (_whole_number(left), _whole_number(right))
        if operator == "+":
            return one + two
        if operator == "-":
            return one - two
        if operator == "*":
            return one * two
        if operator == "%" and isinstance(one, float):
            raise TemplateProblem("invalid operation: float % float")
        if not two:
            raise TemplateProblem("divide by zero")
        if isinstance(one, float):
            return one / two
        quotient = int(abs(one) // abs(two)) * (1 if (one < 0) == (two < 0) else -1)
        return quotient if operator == "/" else int(one - quotient * two)

    def _problem(self, position: int, text: str) -> TemplateProblem:
        line_start = self._text.rfind("\n", 0, position) + 1
        line = self._text.count("\n", 0, position) + 1
        return TemplateProblem(f"{line}:{position - line_start + 1}: {text}")


def _shown(value: Value) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _whole_number(value: Value) -> int:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise TemplateProblem(
                f'__builtin_StringToInt: strconv.ParseInt: parsing "{value}": invalid syntax'
            ) from None
    return int(value)


def _decimal(value: Value) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise TemplateProblem(
                f'__builtin_StringToFloat: strconv.ParseFloat: parsing "{value}": invalid syntax'
            ) from None
    return float(value)
