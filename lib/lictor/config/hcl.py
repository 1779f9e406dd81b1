"""HCL 1, the configuration language before HCL 2: no expressions, no functions, interpolation kept as text.

`parse(text)` gives plain dicts and lists as JSON would: a block `key { … }` and an object `key = { … }` are both one
object in a list (`unwrap` in `schema` turns lists of one back into the object, as Consul does); a repeated key makes
the list longer; labels (`service "web" { … }`) nest objects.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

MAX_DEPTH = 100
MAX_UNICODE_ESCAPE = 0x10FFFF

_SPACE = re.compile(r"(?:[ \t\r]+|#[^\n]*|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?)")
_IDENTIFIER = re.compile(r"[^\W\d][\w.\-]*")
_HEREDOC = re.compile(r"<<(-?)([^\W]+)\r?\n")
_SIMPLE_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
}
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}
_OCTAL_DIGITS = 3


class HclError(ValueError):
    """The text is no HCL; says line and column."""


class Token(NamedTuple):
    """A piece of the text: kind, value, where it begins."""

    kind: str
    value: Any
    offset: int


def parse(text: str) -> dict[str, Any]:
    """The document as an object.

    Raises HclError, with line and column, for anything that is not HCL 1.
    """
    return _Parser(text.removeprefix("\ufeff")).document()


_NAMES = {
    "{": "LBRACE",
    "}": "RBRACE",
    "[": "LBRACK",
    "]": "RBRACK",
    "=": "ASSIGN",
    ",": "COMMA",
    "end": "EOF",
    "identifier": "IDENT",
}


def _name_of(token: Token) -> str:
    return _NAMES.get(token.kind, token.kind.upper())


SCANNER_FAULTS = ("literal not terminated", "comment not terminated", "heredoc not terminated", "illegal char")
"""Told as they are, wherever in the text."""


class _TextEnded(Exception):
    """The text ends where a value should be."""


class _Parser:
    """A recursive-descent parser over one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._token = self._scan()

    def document(self) -> dict[str, Any]:
        return self._members("end")

    def _fail(self, message: str, offset: int | None = None) -> HclError:
        return HclError(f"At {self._place(self._token.offset if offset is None else offset)}: {message}")

    def _place(self, offset: int) -> str:
        line = self._text.count("\n", 0, offset) + 1
        return f"{line}:{offset - self._text.rfind(chr(10), 0, offset)}"

    def _seen_at(self) -> int:
        """Where HCL's scanner has the present token: the end of the text is one further, except behind blanks."""
        at = self._token.offset
        return at + (self._token.kind == "end" and not self._text[max(at - 1, 0) : at].isspace())

    def _next(self) -> Token:
        token = self._token
        self._token = self._scan()
        return token

    def _skip_newlines(self) -> None:
        while self._token.kind == "newline":
            self._next()

    def _members(self, closing: str, depth: int = 0) -> dict[str, Any]:
        if depth > MAX_DEPTH:
            raise self._fail(f"objects nested more than {MAX_DEPTH} deep")
        found: dict[str, Any] = {}
        while True:
            self._skip_newlines()
            if self._token.kind == closing:
                self._next()
                return found
            if self._token.kind == "end":
                raise self._fail("object expected closing RBRACE got: EOF", self._token.offset + 1)
            try:
                self._member(found, depth)
            except _TextEnded:
                # A key without its value at the very end of the text is let be; only braces must be closed.
                continue
            if self._token.kind == ",":
                if closing == "end":
                    raise self._fail("illegal char")
                self._next()

    def _member(self, found: dict[str, Any], depth: int) -> None:
        start = self._token.offset
        keys: list[str] = []
        while self._token.kind in ("identifier", "string"):
            keys.append(self._next().value)
            self._skip_newlines()
        if not keys and self._token.kind == "=":
            raise self._fail("no object keys found!")
        if not keys or self._token.kind not in ("=", "{", "end"):
            raise self._fail(f"expected: IDENT | STRING | ASSIGN | LBRACE got: {_name_of(self._token)}")
        if self._token.kind == "=":
            if len(keys) > 1:
                raise self._fail("nested object expected: LBRACE got: ASSIGN", start)
            self._next()
            self._skip_newlines()
            value = self._value(depth)
        elif self._token.kind == "{":
            self._next()
            value = [self._members("}", depth + 1)]
        else:
            self._skip_newlines()
            raise self._fail(
                f"key '{' '.join(keys)}' expected start of object ('{{') or assignment ('=')", self._seen_at()
            )
        for label in reversed(keys[1:]):
            value = [{label: value}]
        add(found, keys[0], value)

    def _value(self, depth: int) -> Any:
        if self._token.kind == "end":
            raise _TextEnded
        token = self._next()
        if token.kind in ("string", "number"):
            return token.value
        if token.kind == "identifier" and token.value in ("true", "false"):
            return token.value == "true"
        if token.kind == "{":
            return [self._members("}", depth + 1)]
        if token.kind == "[":
            return self._list(depth + 1)
        raise self._fail(f"Unknown token: {self._place(token.offset)} {_name_of(token)} {token.value}", token.offset)

    def _list(self, depth: int) -> list[Any]:
        if depth > MAX_DEPTH:
            raise self._fail(f"lists nested more than {MAX_DEPTH} deep")
        found: list[Any] = []
        while True:
            self._skip_newlines()
            if self._token.kind == "]":
                self._next()
                return found
            if self._token.kind == "end":
                raise self._fail("unexpected token while parsing list: EOF")
            opening = self._token
            try:
                value = self._value(depth)
            except HclError as error:
                if opening.kind != "{" or str(error).endswith(SCANNER_FAULTS):
                    raise
                text = f"error while trying to parse object within list: {error}"
                raise self._fail(text, opening.offset) from None
            is_object = isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict)
            found.append(value[0] if is_object else value)
            self._skip_newlines()
            if self._token.kind == ",":
                self._next()
            elif self._token.kind != "]":
                raise self._fail(f"error parsing list, expected comma or list end, got: {_name_of(self._token)}")

    def _scan(self) -> Token:
        text = self._text
        if space := _SPACE.match(text, self._at):
            self._at = space.end()
        start = self._at
        if start >= len(text):
            return Token("end", "", start)
        char = text[start]
        if char == "\n":
            self._at += 1
            return Token("newline", "", start)
        if char in "{}[]=,":
            self._at += 1
            return Token(char, char, start)
        if char == '"':
            return Token("string", self._string(), start)
        if heredoc := _HEREDOC.match(text, start):
            return Token("string", self._heredoc(heredoc), start)
        if number := _NUMBER.match(text, start):
            self._at = number.end()
            return Token("number", self._number(number[0]), start)
        if identifier := _IDENTIFIER.match(text, start):
            self._at = identifier.end()
            return Token("identifier", identifier[0], start)
        if text.startswith("/*", start):
            raise self._fail("comment not terminated", start)
        raise self._fail("illegal char", start)

    def _number(self, text: str) -> int | float:
        digits = text.lstrip("+-")
        sign = -1 if text.startswith("-") else 1
        try:
            if digits[:2] in ("0x", "0X"):
                return sign * int(digits, 16)
            if digits.isdigit() and len(digits) > 1 and digits.startswith("0"):
                return sign * int(digits, 8)
        except ValueError:
            raise self._fail(f"illegal number {text}", self._at - len(text)) from None
        return int(text) if digits.isdigit() else float(text)

    def _string(self) -> str:
        text, at = self._text, self._at + 1
        pieces: list[str] = []
        braces = 0
        while True:
            if at >= len(text) or (text[at] == "\n" and not braces):
                raise self._fail("literal not terminated", at)
            char = text[at]
            if braces:
                braces += (char == "{") - (char == "}")
                pieces.append(char)
                at += 1
            elif text.startswith("${", at):
                braces = 1
                pieces.append("${")
                at += 2
            elif char == '"':
                self._at = at + 1
                return "".join(pieces)
            elif char == "\\":
                piece, at = self._escape(at + 1)
                pieces.append(piece)
            else:
                pieces.append(char)
                at += 1

    def _escape(self, at: int) -> tuple[str, int]:
        char = self._text[at : at + 1]
        if char in _SIMPLE_ESCAPES and char:
            return _SIMPLE_ESCAPES[char], at + 1
        if char in _HEX_ESCAPES and char:
            digits, base, start = _HEX_ESCAPES[char], 16, at + 1
        else:
            digits, base, start = _OCTAL_DIGITS, 8, at
        try:
            literal = self._text[start : start + digits]
            code = int(literal, base) if literal.isalnum() and len(literal) == digits else MAX_UNICODE_ESCAPE + 1
        except ValueError:
            code = MAX_UNICODE_ESCAPE + 1
        if code > MAX_UNICODE_ESCAPE:
            raise self._fail("illegal char escape", at)
        return chr(code), start + digits

    def _heredoc(self, opening: re.Match[str]) -> str:
        indented, name = opening[1] == "-", opening[2]
        closing = re.compile(rf"^[ \t]*{re.escape(name)}[ \t]*\r?$", re.MULTILINE)
        end = closing.search(self._text, opening.end())
        if end is None:
            raise self._fail("heredoc not terminated", opening.start())
        self._at = end.end()
        body = self._text[opening.end() : end.start()]
        if not indented:
            return body
        margin = self._text[end.start() : end.end()].rstrip("\r")
        margin = margin[: len(margin) - len(margin.lstrip())]
        lines = body.splitlines(keepends=True)
        if all(line.startswith(margin) for line in lines):
            return "".join(line[len(margin) :] for line in lines)
        return "".join(line.lstrip(" \t") for line in lines)


def add(found: dict[str, Any], key: str, value: Any) -> None:
    """Set a member; a repeated object key collects the objects in one list, any other later value wins."""
    previous = found.get(key)
    if is_objects(previous) and is_objects(value):
        previous.extend(value)  # type: ignore[union-attr]
    else:
        found[key] = value


def is_objects(value: Any) -> bool:
    """Whether this is a non-empty list of objects only, which is what blocks become."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
