"""The syntax of filter expressions: text in, tree out.

A recursive descent with ordered alternatives, each tried in full before the next. What was wanted at the furthest
place that any of them reached is what an error names. An alternative that recognises a mistake notes a problem of
its own; then those are the error, even where another alternative goes on.

    or          and (_ "or" _ and)*
    and         not (_ "and" _ not)*
    not         "not" _ not | grouping
    grouping    "(" _? or _? ")" | match
    match       selector operator value | selector ("is empty" | "is not empty") | value ("in" | "not in") selector
    selector    identifier ("." identifier | "[" _? string _? "]")*
    value       selector | number | string
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from lictor.filter.literals import unquote

NESTING_MAX = 100
"""Parentheses within each other."""
LENGTH_MAX = 64 * 1024
"""Characters of an expression."""


class SyntaxProblem(Exception):
    """The text is not an expression; says where and what."""


class Operator(Enum):
    EQUAL = "Equal"
    NOT_EQUAL = "Not Equal"
    IN = "In"
    NOT_IN = "Not In"
    IS_EMPTY = "Is Empty"
    IS_NOT_EMPTY = "Is Not Empty"
    MATCHES = "Matches"
    NOT_MATCHES = "Not Matches"


class Match(NamedTuple):
    selector: tuple[str, ...]
    operator: Operator
    value: str


class Not(NamedTuple):
    operand: Expression


class All(NamedTuple):
    operands: tuple[Expression, ...]


class Any_(NamedTuple):
    operands: tuple[Expression, ...]


Expression = Match | Not | All | Any_

Word = tuple[str, ...]
"""What an operator consists of; `_` is white space that has to be there, `?` white space that may be."""

_BEFORE_VALUE: tuple[tuple[Word, Operator], ...] = (
    (("?", "==", "?"), Operator.EQUAL),
    (("?", "!=", "?"), Operator.NOT_EQUAL),
    (("_", "contains", "_"), Operator.IN),
    (("_", "not", "_", "contains", "_"), Operator.NOT_IN),
    (("_", "matches", "_"), Operator.MATCHES),
    (("_", "not", "_", "matches", "_"), Operator.NOT_MATCHES),
)
_ALONE: tuple[tuple[Word, Operator], ...] = (
    (("_", "is", "_", "empty"), Operator.IS_EMPTY),
    (("_", "is", "_", "not", "_", "empty"), Operator.IS_NOT_EMPTY),
)
_BEFORE_SELECTOR: tuple[tuple[Word, Operator], ...] = (
    (("_", "in", "_"), Operator.IN),
    (("_", "not", "_", "in", "_"), Operator.NOT_IN),
)
_SPACE, _LETTER, _WORD, _DIGIT, _FIRST_DIGIT = r"[ \t\r\n]", "[a-zA-Z]", "[a-zA-Z0-9_]", "[0-9]", "[1-9]"
_CLASSES = {shown: re.compile(f"{shown}*") for shown in (_SPACE, _LETTER, _WORD, _DIGIT, _FIRST_DIGIT)}
_END = "EOF"

Found = tuple[Expression, int]
"""What was recognised, and where it ends."""


def parse(text: str) -> Expression:
    """The tree of an expression. Errors: SyntaxProblem."""
    if len(text) > LENGTH_MAX:
        raise SyntaxProblem(f"expression is longer than {LENGTH_MAX} characters")
    return _Parser(text).parse()


class _Parser:
    """One reading of one text. Methods take a position and give what they recognise there, or None."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._furthest = 0
        self._wanted: set[str] = set()
        self._problems: dict[str, None] = {}
        self._groups: dict[int, Found | None] = {}
        self._disjunctions: dict[int, Found | None] = {}
        self._strings: dict[int, tuple[str, int] | None] = {}
        self._depth = 0

    def parse(self) -> Expression:
        found = self._whole()
        if self._problems:
            raise SyntaxProblem("\n".join(self._problems))
        if found is None:
            shown = sorted(self._wanted - {_END}) + sorted(self._wanted & {_END})
            listed = ", ".join(shown[:-1]) + " or " + shown[-1] if len(shown) > 1 else "".join(shown)
            raise SyntaxProblem(f"{self._place(self._furthest)}: no match found, expected: {listed}")
        return found

    def _whole(self) -> Expression | None:
        start = self._maybe_space(0)
        inner = self._literal(start, "(")
        if inner is not None:
            found = self._disjunction(self._maybe_space(inner))
            if found is not None:
                closed = self._literal(self._maybe_space(found[1]), ")")
                if closed is not None and self._end(self._maybe_space(closed)):
                    return found[0]
        found = self._disjunction(start)
        return found[0] if found is not None and self._end(self._maybe_space(found[1])) else None

    # -------------------------------------------------------------------------------------------- what is wanted

    def _want(self, position: int, what: str) -> None:
        if position > self._furthest:
            self._furthest = position
            self._wanted.clear()
        if position == self._furthest:
            self._wanted.add(what)

    def _problem(self, position: int, rule: str, text: str) -> None:
        self._problems[f'{self._place(position)}: rule "{rule}": {text}'] = None

    def _place(self, position: int) -> str:
        """Line, column and offset in bytes; a line break counts as column 0 of the line it begins."""
        until = self._text[: position + 1]
        broken = until.rfind("\n")
        column = position - broken if broken >= 0 else position + 1
        return f"{until.count(chr(10)) + 1}:{column} ({len(self._text[:position].encode('utf-8', 'surrogateescape'))})"

    # -------------------------------------------------------------------------------------------- pieces of text

    def _literal(self, position: int, literal: str) -> int | None:
        if self._text.startswith(literal, position):
            return position + len(literal)
        self._want(position, '"\\""' if literal == '"' else f'"{literal}"')
        return None

    def _class(self, position: int, shown: str) -> int:
        """The end of a run of such characters."""
        match = _CLASSES[shown].match(self._text, position)
        assert match is not None, "a pattern that may be empty"
        self._want(match.end(), shown)
        return match.end()

    def _one(self, position: int, shown: str) -> int | None:
        """The end of one such character."""
        if _CLASSES[shown].fullmatch(self._text, position, position + 1) is None or position >= len(self._text):
            self._want(position, shown)
            return None
        return position + 1

    def _space(self, position: int) -> int | None:
        end = self._class(position, _SPACE)
        return end if end > position else None

    def _maybe_space(self, position: int) -> int:
        return self._class(position, _SPACE)

    def _end(self, position: int) -> bool:
        if position < len(self._text):
            self._want(position, _END)
        return position >= len(self._text)

    def _words(self, position: int, words: Word) -> int | None:
        found: int | None = position
        for word in words:
            assert found is not None, "a word after one that is missing"
            if word == "?":
                found = self._maybe_space(found)
            else:
                found = self._space(found) if word == "_" else self._literal(found, word)
            if found is None:
                return None
        return found

    def _operator(self, position: int, table: tuple[tuple[Word, Operator], ...]) -> tuple[Operator, int] | None:
        for words, operator in table:
            end = self._words(position, words)
            if end is not None:
                return operator, end
        return None

    # -------------------------------------------------------------------------------------------- expressions

    def _disjunction(self, position: int) -> Found | None:
        if position not in self._disjunctions:
            self._disjunctions[position] = self._joined(position, "or")
        return self._disjunctions[position]

    def _joined(self, position: int, word: str) -> Found | None:
        found = self._operand(position, word)
        if found is None:
            return None
        operands, end = [found[0]], found[1]
        while (after := self._words(end, ("_", word, "_"))) is not None:
            found = self._operand(after, word)
            if found is None:
                break
            operands.append(found[0])
            end = found[1]
        if len(operands) == 1:
            return operands[0], end
        return (All if word == "and" else Any_)(tuple(operands)), end

    def _operand(self, position: int, word: str) -> Found | None:
        return self._negation(position) if word == "and" else self._joined(position, "and")

    def _negation(self, position: int) -> Found | None:
        """`not` may also be a selector or a value: of several, as many negate as leave an operand."""
        starts = [position]
        while (after := self._words(starts[-1], ("not", "_"))) is not None:
            starts.append(after)
        for negations in range(len(starts) - 1, -1, -1):
            found = self._group(starts[negations])
            if found is not None:
                return (Not(found[0]), found[1]) if negations % 2 else found
        return None

    def _group(self, position: int) -> Found | None:
        if position in self._groups:
            return self._groups[position]
        inner = self._literal(position, "(")
        if inner is None:
            return self._match(position)
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise SyntaxProblem(f"expression is nested deeper than {NESTING_MAX}")
        found = self._disjunction(self._maybe_space(inner))
        self._depth -= 1
        self._groups[position] = None
        if found is None:
            return None
        after = self._maybe_space(found[1])
        closed = self._literal(after, ")")
        if closed is None:
            self._problem(after, "grouping", "Unmatched parentheses")
            return None
        self._groups[position] = found[0], closed
        return self._groups[position]

    def _match(self, position: int) -> Found | None:
        selector = self._selector(position)
        if selector is not None:
            operator = self._operator(selector[1], _BEFORE_VALUE)
            value = None if operator is None else self._value(operator[1])
            if operator is not None and value is not None:
                return Match(selector[0], operator[0], value[0]), value[1]
            operator = self._operator(selector[1], _ALONE)
            if operator is not None:
                return Match(selector[0], operator[0], ""), operator[1]
        value = self._value(position)
        operator = None if value is None else self._operator(value[1], _BEFORE_SELECTOR)
        if value is None or operator is None:
            return None
        selector = self._selector(operator[1])
        if selector is None:
            self._problem(operator[1], "match", "Invalid selector")
            return None
        return Match(selector[0], operator[0], value[0]), selector[1]

    def _selector(self, position: int) -> tuple[tuple[str, ...], int] | None:
        found = self._identifier(position)
        if found is None:
            return None
        parts, end = [found[0]], found[1]
        while True:
            dot = self._literal(end, ".")
            found = None if dot is None else self._identifier(dot)
            found = found or self._index(end)
            if found is None:
                return tuple(parts), end
            parts.append(found[0])
            end = found[1]

    def _identifier(self, position: int) -> tuple[str, int] | None:
        if self._one(position, _LETTER) is None:
            return None
        end = self._class(position + 1, _WORD)
        return self._text[position:end], end

    def _index(self, position: int) -> tuple[str, int] | None:
        inner = self._literal(position, "[")
        if inner is None:
            return None
        start = self._maybe_space(inner)
        found = self._string(start)
        if found is None:
            self._problem(start, "index", "Invalid index")
            return None
        after = self._maybe_space(found[1])
        closed = self._literal(after, "]")
        if closed is None:
            self._problem(after, "index", "Unclosed index expression")
            return None
        return found[0], closed

    # -------------------------------------------------------------------------------------------- values

    def _value(self, position: int) -> tuple[str, int] | None:
        selector = self._selector(position)
        if selector is not None:
            return ".".join(selector[0]), selector[1]
        return self._number(position) or self._string(position)

    def _number(self, position: int) -> tuple[str, int] | None:
        start = position + 1 if self._literal(position, "-") is not None else position
        whole = self._literal(start, "0")
        if whole is None:
            if self._one(start, _FIRST_DIGIT) is None:
                return None
            whole = self._class(start + 1, _DIGIT)
        end = whole
        point = self._literal(whole, ".")
        if point is not None:
            fraction = self._class(point, _DIGIT)
            end = fraction if fraction > point else whole
        if self._space(end) is None and not self._end(end) and self._literal(end, ")") is None:
            self._problem(end, "number", "Invalid number literal")
            return None
        return self._text[position:end], end

    def _string(self, position: int) -> tuple[str, int] | None:
        if position not in self._strings:
            self._strings[position] = self._quoted(position)
        return self._strings[position]

    def _quoted(self, position: int) -> tuple[str, int] | None:
        for quote in ("`", '"'):
            inner = self._literal(position, quote)
            if inner is None:
                continue
            closing = self._text.find(quote, inner)
            if closing < 0:
                self._problem(len(self._text), "string", "Unterminated string literal")
                return None
            try:
                return unquote(self._text[position : closing + 1]), closing + 1
            except ValueError as error:
                self._problem(position, "string", str(error))
                return "", closing + 1
        return None
