"""A JSON text as Go's decoder reads it, and what it says about one that is none (encoding/json, scanner.go).

The scanner only runs once the fast parser has refused a text: it finds the first wrong character and names it as Go
does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

EOF = "EOF"
UNEXPECTED_EOF = "unexpected EOF"
MAX_DEPTH = 10_000
_BLANKS = " \t\r\n"
_LITERALS = {"t": "true", "f": "false", "n": "null"}
_HEX = "0123456789abcdefABCDEF"
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonError(ValueError):
    """The text is not JSON; says so as Go does."""


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_raw_decode: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(
    strict=True, parse_constant=_refuse_constant
).raw_decode


def parse(body: bytes) -> Any:
    """The first JSON value of a body; what follows it is ignored, as Go's stream decoder does. Errors: JsonError."""
    text = body.decode("utf-8", "replace").lstrip(_BLANKS)
    if not text:
        raise JsonError(EOF)
    try:
        value = _raw_decode(text, 0)[0]
        return _without_surrogates(value) if _SURROGATE_ESCAPE.search(body) else value
    except RecursionError:
        raise JsonError(f"invalid character '{text[0]}' exceeded max depth") from None
    except ValueError:
        raise JsonError(json_error(body)) from None


def _without_surrogates(value: Any) -> Any:
    """Halves of surrogate pairs are no characters: each becomes U+FFFD, as in Go."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def _is_digit(char: str) -> bool:
    return char != "" and char in "0123456789"


class _Wrong(Exception):
    """Carries the error text."""


def json_error(body: bytes) -> str:
    """Go's error text for the first value in the body; `unexpected EOF` when nothing else is wrong with it."""
    # Go looks at bytes, and shows one as the character of its number.
    text = body.decode("latin-1")
    scanner = _Scanner(text)
    if not text.strip(_BLANKS):
        return EOF
    try:
        scanner.value("looking for beginning of value")
    except _Wrong as wrong:
        return str(wrong)
    except RecursionError:
        return f"invalid character '{text.lstrip(_BLANKS)[0]}' exceeded max depth"
    return UNEXPECTED_EOF


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def value(self, context: str) -> None:
        char = self._next_visible()
        if char == "{":
            self._object()
        elif char == "[":
            self._array()
        elif char == '"':
            self._string()
        elif char == "-" or _is_digit(char):
            self._number(char)
        elif char in _LITERALS:
            self._literal(_LITERALS[char])
        else:
            self._wrong(char, context)

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise _Wrong(UNEXPECTED_EOF)
        char = self._text[self._at]
        self._at += 1
        return char

    def _next_visible(self) -> str:
        while True:
            char = self._next()
            if char not in _BLANKS:
                return char

    def _wrong(self, char: str, context: str) -> None:
        shown = {"'": "'\\''", '"': "'\"'"}.get(char)
        if shown is None:
            code = ord(char)
            if char.isprintable():
                shown = f"'{char}'"
            elif char in "\a\b\f\n\r\t\v":
                shown = "'\\" + "abfnrtv"["\a\b\f\n\r\t\v".index(char)] + "'"
            else:
                shown = f"'\\x{code:02x}'" if code < 0x80 else f"'\\u{code:04x}'"
        raise _Wrong(f"invalid character {shown} {context}")

    def _object(self) -> None:
        char = self._next_visible()
        if char == "}":
            return
        while True:
            if char != '"':
                self._wrong(char, "looking for beginning of object key string")
            self._string()
            if (char := self._next_visible()) != ":":
                self._wrong(char, "after object key")
            self.value("looking for beginning of value")
            char = self._next_visible()
            if char == "}":
                return
            if char != ",":
                self._wrong(char, "after object key:value pair")
            char = self._next_visible()

    def _array(self) -> None:
        char = self._next_visible()
        if char == "]":
            return
        self._at -= 1
        while True:
            self.value("looking for beginning of value")
            char = self._next_visible()
            if char == "]":
                return
            if char != ",":
                self._wrong(char, "after array element")

    def _string(self) -> None:
        while (char := self._next()) != '"':
            if char < " ":
                self._wrong(char, "in string literal")
            if char == "\\":
                escape = self._next()
                if escape == "u":
                    for _ in range(4):
                        digit = self._next()
                        if digit not in _HEX:
                            self._wrong(digit, "in \\u hexadecimal character escape")
                elif escape not in 'bfnrt\\/"':
                    self._wrong(escape, "in string escape code")

    def _number(self, char: str) -> None:
        if char == "-":
            char = self._next()
            if not _is_digit(char):
                self._wrong(char, "in numeric literal")
        if char != "0":
            self._digits()
        if self._peek() == ".":
            self._at += 1
            self._required_digits("after decimal point in numeric literal")
        if self._peek() in ("e", "E"):
            self._at += 1
            if self._peek() in ("+", "-"):
                self._at += 1
            self._required_digits("in exponent of numeric literal")

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _digits(self) -> None:
        while _is_digit(self._peek()):
            self._at += 1

    def _required_digits(self, context: str) -> None:
        char = self._next()
        if not _is_digit(char):
            self._wrong(char, context)
        self._digits()

    def _literal(self, word: str) -> None:
        for index in range(1, len(word)):
            char = self._next()
            if char != word[index]:
                self._wrong(char, f"in literal {word} (expecting '{word[index]}')")
