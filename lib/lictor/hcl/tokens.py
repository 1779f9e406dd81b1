"""The words of HCL 1: kinds, places, and the values that literals stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

ILLEGAL = "ILLEGAL"
EOF = "EOF"
COMMENT = "COMMENT"
IDENT = "IDENT"
NUMBER = "NUMBER"
FLOAT = "FLOAT"
BOOL = "BOOL"
STRING = "STRING"
HEREDOC = "HEREDOC"
NULL = "NULL"
PERIOD = "PERIOD"
ASSIGN = "ASSIGN"
LBRACE = "LBRACE"
RBRACE = "RBRACE"
LBRACK = "LBRACK"
RBRACK = "RBRACK"
COMMA = "COMMA"
COLON = "COLON"

SCALARS = frozenset((NUMBER, FLOAT, BOOL, STRING, HEREDOC))

_SIMPLE_ESCAPES = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
    '"': b'"',
}
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_OCTAL_DIGITS = 3
_LAST_CODE_POINT = 0x10FFFF
_BYTE_MAX = 0xFF


class HclError(ValueError):
    """The text is not HCL, or not the shape that is wanted; says where."""


class Place(NamedTuple):
    """A place in a text: offset in characters from 0, line and column from 1; line 0: nowhere."""

    offset: int
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}" if self.line else "-"

    def is_before(self, other: Place) -> bool:
        return other.offset > self.offset or other.line > self.line

    def is_after(self, other: Place) -> bool:
        return other.offset < self.offset or other.line < self.line


NOWHERE = Place(0, 0, 0)


@dataclass(slots=True)
class Token:
    """One word: its kind, where it begins, its text as written; `json` when JSON's rules for strings hold."""

    kind: str
    place: Place
    text: str
    json: bool = False

    def __str__(self) -> str:
        return f"{self.place} {self.kind} {self.text}"

    def string(self) -> str:
        """The value of a name, string or heredoc. Raises HclError for a string with wrong escapes."""
        if self.kind == IDENT:
            return self.text
        if self.kind == HEREDOC:
            return _heredoc(self.text)
        return _unquoted(self.text, not self.json) if self.text else ""


def error_at(place: Place, message: str) -> HclError:
    """An error that begins with where it is."""
    return HclError(f"At {place}: {message}")


def _heredoc(text: str) -> str:
    """The body; after `<<-` without the margin of the closing word, if all lines have it."""
    first = text.index("\n")
    if text[2] != "-":
        return text[first + 1 : len(text) - first + 1]
    lines = text[first + 1 : len(text) - first + 2].split("\n")
    margin = lines[-1]
    if not all(line.startswith(margin) for line in lines):
        return text[first + 1 : len(text) - first + 1].rstrip(" \t")
    return "\n".join([*(line.removeprefix(margin) for line in lines[:-1]), ""])


def _unquoted(text: str, interpolates: bool) -> str:
    """What a double-quoted string means; `${…}` stays as written where it interpolates."""
    body = text[1:-1]
    if len(text) < 2 or not text.endswith('"'):
        raise HclError(f"unquote {text} err: invalid syntax")
    if "\\" not in body:
        return body
    found = bytearray()
    at = 0
    while at < len(body):
        if interpolates and body.startswith("${", at):
            end = _after_interpolation(body, at)
            found += body[at:end].encode("utf-8", "replace")
            at = end
        elif body[at] == "\\":
            piece, at = _escape(body, at + 1)
            found += piece
        else:
            found += body[at].encode("utf-8", "replace")
            at += 1
    return found.decode("utf-8", "replace")


def _after_interpolation(body: str, at: int) -> int:
    braces = 0
    for index in range(at + 1, len(body)):
        braces += (body[index] == "{") - (body[index] == "}")
        if not braces:
            return index + 1
    raise HclError(f'unquote "{body}" err: invalid syntax')


def _escape(body: str, at: int) -> tuple[bytes, int]:
    char = body[at : at + 1]
    if char in _SIMPLE_ESCAPES:
        return _SIMPLE_ESCAPES[char], at + 1
    digits, base, start = (_HEX_DIGITS[char], 16, at + 1) if char in _HEX_DIGITS else (_OCTAL_DIGITS, 8, at)
    literal = body[start : start + digits]
    try:
        code = int(literal, base) if len(literal) == digits and literal.isalnum() else _LAST_CODE_POINT + 1
    except ValueError:
        code = _LAST_CODE_POINT + 1
    is_byte = char not in ("u", "U")
    if code > (_BYTE_MAX if is_byte else _LAST_CODE_POINT):
        raise HclError(f'unquote "{body}" err: invalid syntax')
    return bytes([code]) if is_byte else _encoded(code), start + digits


def _encoded(code: int) -> bytes:
    is_surrogate = 0xD800 <= code <= 0xDFFF
    return ("\ufffd" if is_surrogate else chr(code)).encode()
