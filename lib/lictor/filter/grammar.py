"""The syntax of filter expressions: text in, tree out, with errors placed as Consul's parser places them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from functools import cache
from typing import Any, NamedTuple

NESTING_MAX = 100
"""Parentheses and `not` within each other."""
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

# Words need white space around them, symbols do not. A word that is an operator in one place is a value in another:
# the contextual lexer knows which terminals can follow.
GRAMMAR = r"""
start: disjunction
disjunction: conjunction (_OR conjunction)*
conjunction: unary (_AND unary)*
?unary: _NOT unary -> negation
      | "(" disjunction ")" -> group
      | match
match: SELECTOR OP_EQUAL value
     | SELECTOR OP_NOT_EQUAL value
     | SELECTOR OP_CONTAINS value
     | SELECTOR OP_NOT_CONTAINS value
     | SELECTOR OP_MATCHES value
     | SELECTOR OP_NOT_MATCHES value
     | SELECTOR OP_IS_EMPTY
     | SELECTOR OP_IS_NOT_EMPTY
     | value OP_IN SELECTOR
     | value OP_NOT_IN SELECTOR
value: SELECTOR | NUMBER | STRING | RAW_STRING

_OR: /(?<=\s)or(?=\s)/
_AND: /(?<=\s)and(?=\s)/
_NOT.2: /not(?=\s)/
OP_EQUAL: "=="
OP_NOT_EQUAL: "!="
OP_CONTAINS: /(?<=\s)contains(?=\s)/
OP_NOT_CONTAINS: /(?<=\s)not\s+contains(?=\s)/
OP_MATCHES: /(?<=\s)matches(?=\s)/
OP_NOT_MATCHES: /(?<=\s)not\s+matches(?=\s)/
OP_IS_EMPTY: /(?<=\s)is\s+empty(?![A-Za-z0-9_])/
OP_IS_NOT_EMPTY: /(?<=\s)is\s+not\s+empty(?![A-Za-z0-9_])/
OP_IN: /(?<=\s)in(?=\s)/
OP_NOT_IN: /(?<=\s)not\s+in(?=\s)/
SELECTOR: /[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*|\[\s*("([^"\\]|\\.)*"|`[^`]*`)\s*\])*/
NUMBER: /-?(0|[1-9][0-9]*)(\.[0-9]+)?(?=\s|\)|$)/
STRING: /"([^"\\]|\\.)*"/s
RAW_STRING: /`[^`]*`/
%ignore /\s+/
"""

_OPERATORS = {
    "OP_EQUAL": Operator.EQUAL,
    "OP_NOT_EQUAL": Operator.NOT_EQUAL,
    "OP_CONTAINS": Operator.IN,
    "OP_NOT_CONTAINS": Operator.NOT_IN,
    "OP_MATCHES": Operator.MATCHES,
    "OP_NOT_MATCHES": Operator.NOT_MATCHES,
    "OP_IS_EMPTY": Operator.IS_EMPTY,
    "OP_IS_NOT_EMPTY": Operator.IS_NOT_EMPTY,
    "OP_IN": Operator.IN,
    "OP_NOT_IN": Operator.NOT_IN,
}
_SHOWN = {
    "_OR": '"or"',
    "_AND": '"and"',
    "_NOT": '"not"',
    "LPAR": '"("',
    "RPAR": '")"',
    "OP_EQUAL": '"=="',
    "OP_NOT_EQUAL": '"!="',
    "OP_CONTAINS": '"contains"',
    "OP_NOT_CONTAINS": '"not contains"',
    "OP_MATCHES": '"matches"',
    "OP_NOT_MATCHES": '"not matches"',
    "OP_IS_EMPTY": '"is empty"',
    "OP_IS_NOT_EMPTY": '"is not empty"',
    "OP_IN": '"in"',
    "OP_NOT_IN": '"not in"',
    "SELECTOR": "selector",
    "NUMBER": "number",
    "STRING": "string",
    "RAW_STRING": "string",
    "$END": "EOF",
}
_IDENTIFIER = re.compile(r"\.?([A-Za-z][A-Za-z0-9_]*)|\[\s*(\"(?:[^\"\\]|\\.)*\"|`[^`]*`)\s*\]")
_GO_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\\"'])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL
)
_SIMPLE_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@cache
def _parser() -> Any:
    """Built at the first expression: most processes never see one."""
    from lark import Lark

    return Lark(GRAMMAR, parser="lalr", lexer="contextual")


def parse(text: str) -> Expression:
    """The tree of an expression. Errors: SyntaxProblem."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    if len(text) > LENGTH_MAX:
        raise SyntaxProblem(f"expression is longer than {LENGTH_MAX} characters")
    try:
        tree = _parser().parse(text)
    except UnexpectedCharacters as error:
        position = int(error.pos_in_stream or 0)
        if text[position : position + 1] in ('"', "`"):
            raise SyntaxProblem(f'{_place(text, len(text))}: rule "string": Unterminated string literal') from None
        raise SyntaxProblem(_unexpected(text, position, error.allowed or ())) from None
    except UnexpectedToken as error:
        start = error.token.start_pos
        position = len(text) if error.token.type == "$END" or start is None else int(start)
        raise SyntaxProblem(_unexpected(text, position, error.accepts or error.expected)) from None
    return _expression(tree.children[0], 0)


def _place(text: str, position: int) -> str:
    line_start = text.rfind("\n", 0, position) + 1
    line = text.count("\n", 0, position) + 1
    return f"{line}:{position - line_start + 1} ({len(text[:position].encode())})"


def _unexpected(text: str, position: int, expected: Iterable[str]) -> str:
    shown = sorted({_SHOWN.get(name, name) for name in expected})
    listed = ", ".join(shown[:-1]) + " or " + shown[-1] if len(shown) > 1 else "".join(shown)
    return f"{_place(text, position)}: no match found, expected: {listed}"


def _expression(tree: Any, depth: int) -> Expression:
    if depth > NESTING_MAX:
        raise SyntaxProblem(f"expression is nested deeper than {NESTING_MAX}")
    if tree.data == "match":
        return _match(tree.children)
    if tree.data == "negation":
        return Not(_expression(tree.children[0], depth + 1))
    if tree.data == "group":
        return _expression(tree.children[0], depth + 1)
    operands = tuple(_expression(child, depth) for child in tree.children)
    if len(operands) == 1:
        return operands[0]
    return Any_(operands) if tree.data == "disjunction" else All(operands)


def _match(parts: list[Any]) -> Match:
    operator = _OPERATORS[parts[1].type]
    if parts[1].type in ("OP_IN", "OP_NOT_IN"):
        return Match(_selector(str(parts[2])), operator, _value(parts[0].children[0]))
    value = _value(parts[2].children[0]) if len(parts) > 2 else ""
    return Match(_selector(str(parts[0])), operator, value)


def _selector(text: str) -> tuple[str, ...]:
    return tuple(match[1] or _unquote(match[2]) for match in _IDENTIFIER.finditer(text))


def _value(token: Any) -> str:
    return _unquote(str(token)) if token.type in ("STRING", "RAW_STRING") else str(token)


def _unquote(text: str) -> str:
    """A Go string literal: raw between backticks, with escapes between double quotes."""
    if text[0] == "`":
        return text[1:-1].replace("\r", "")
    return _GO_ESCAPE.sub(_unescaped, text[1:-1])


def _unescaped(match: re.Match[str]) -> str:
    simple, byte, short, long, octal, unknown = match.groups()
    if simple:
        return _SIMPLE_ESCAPES.get(simple, simple)
    if unknown:
        raise SyntaxProblem(f"invalid escape \\{unknown} in a string")
    code = int(octal, 8) if octal else int(byte or short or long, 16)
    if code > 0x10FFFF:
        raise SyntaxProblem("invalid code point in a string")
    return chr(code)
