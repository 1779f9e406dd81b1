"""HCL and JSON texts cut into words. Mistakes do not stop the scanner; the last one is kept in `error`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar

from lictor.hcl import tokens
from lictor.hcl.tokens import Place, Token

END = ""
_SPACE = " \t\n\r"
_PUNCTUATION = {"[": tokens.LBRACK, "]": tokens.RBRACK, "{": tokens.LBRACE, "}": tokens.RBRACE, ",": tokens.COMMA}
_KEYWORDS = {"true": tokens.BOOL, "false": tokens.BOOL}
_JSON_KEYWORDS = {**_KEYWORDS, "null": tokens.NULL}
_DECIMAL = frozenset("0123456789")
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_OCTAL = frozenset("01234567")
_SIMPLE_ESCAPES = frozenset('abfnrtv\\"')
_RESERVED = "\ue123"


def _is_letter(char: str) -> bool:
    return char == "_" or char.isalpha()


class Characters:
    """A text read one character after the other, with the place of each."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.offset = 0
        self.line = 1
        self.column = 0
        self.error: tuple[Place, str] | None = None
        """The last mistake and its place."""
        self._last_width = 0
        self._last_line_length = 0
        self._before = (0, 1, 0)

    def next(self) -> str:
        """The next character; END behind the last and for NUL."""
        if self.offset >= len(self.text):
            self.column += 1
            self._last_width = 0
            return END
        self._before = (self.offset, self.line, self.column)
        char = self.text[self.offset]
        self.offset += 1
        self.column += 1
        self._last_width = 1
        if char == "\n":
            self.line += 1
            self._last_line_length = self.column
            self.column = 0
        elif char == "\x00":
            self.fail("unexpected null character (0x00)")
            return END
        elif char == _RESERVED:
            self.fail("unicode code point U+E123 reserved for internal use")
            return "\ufffd"
        return char

    def back(self) -> None:
        """Undo the last `next`."""
        self.offset, self.line, self.column = self._before

    def peek(self) -> str:
        return self.text[self.offset : self.offset + 1]

    def place(self) -> Place:
        """Where the last character was."""
        start = self.offset - self._last_width
        if self.column > 0:
            return Place(start, self.line, self.column)
        return Place(start, self.line - 1, self._last_line_length)

    def fail(self, message: str) -> None:
        self.error = (self.place(), message)


class Scanner:
    """The words of an HCL text, one `scan` after the other; EOF again and again at its end."""

    PUNCTUATION: ClassVar[dict[str, str]] = {**_PUNCTUATION, "=": tokens.ASSIGN, "+": "ADD"}
    QUOTES_NEST: ClassVar[bool] = True
    """Whether quotes and line ends inside `${…}` belong to the string."""

    def __init__(self, text: str) -> None:
        self.chars = Characters(text)

    @property
    def error(self) -> tuple[Place, str] | None:
        return self.chars.error

    def scan(self) -> Token:
        chars = self.chars
        char = chars.next()
        while char and char in _SPACE:
            char = chars.next()
        place = chars.place()
        kind = self._word(char)
        return Token(kind, place, chars.text[place.offset : chars.offset])

    def _word(self, char: str) -> str:
        chars = self.chars
        if char == END:
            return tokens.EOF
        if _is_letter(char):
            return _KEYWORDS.get(self._identifier("-."), tokens.IDENT)
        if char in _DECIMAL:
            return self._number(char)
        if char == '"':
            self._string()
            return tokens.STRING
        if char in "#/":
            self._comment(char)
            return tokens.COMMENT
        if char == "<":
            self._heredoc()
            return tokens.HEREDOC
        if char == ".":
            return self._period()
        if char == "-":
            return self._number(chars.next()) if chars.peek() in _DECIMAL else "SUB"
        if char in self.PUNCTUATION:
            return self.PUNCTUATION[char]
        chars.fail("illegal char")
        return tokens.ILLEGAL

    def _identifier(self, inner: str) -> str:
        chars = self.chars
        start = chars.offset - 1
        char = chars.next()
        while char and (_is_letter(char) or char.isdecimal() or char in inner):
            char = chars.next()
        if char != END:
            chars.back()
        return chars.text[start : chars.offset]

    def _period(self) -> str:
        if self.chars.peek() not in _DECIMAL:
            return tokens.PERIOD
        self._exponent(self._mantissa(self.chars.peek()))
        return tokens.FLOAT

    def _comment(self, char: str) -> None:
        chars = self.chars
        if char == "#" or chars.peek() != "*":
            if char == "/" and chars.peek() != "/":
                chars.fail("expected '/' for comment")
                return
            char = chars.next()
            while char not in ("\n", END):
                char = chars.next()
            if char != END:
                chars.back()
            return
        chars.next()
        char = chars.next()
        while True:
            if char == END:
                chars.fail("comment not terminated")
                return
            before, char = char, chars.next()
            if before == "*" and char == "/":
                return

    def _number(self, char: str) -> str:
        chars = self.chars
        if char == "0":
            return self._number_from_zero()
        self._mantissa(char)
        return self._fraction_or_integer(chars.next())

    def _fraction_or_integer(self, char: str) -> str:
        chars = self.chars
        if char in ("e", "E"):
            self._exponent(char)
            return tokens.FLOAT
        if char == ".":
            self._fraction()
            return tokens.FLOAT
        if char != END:
            chars.back()
        return tokens.NUMBER

    def _number_from_zero(self) -> str:
        chars = self.chars
        char = chars.next()
        if char in ("x", "X"):
            char = chars.next()
            found = char in _HEXADECIMAL
            while char in _HEXADECIMAL:
                char = chars.next()
            if not found:
                chars.fail("illegal hexadecimal number")
            if char != END:
                chars.back()
            return tokens.NUMBER
        illegal = False
        while char in _DECIMAL:
            char = chars.next()
            illegal = illegal or char in ("8", "9")
        if illegal and char not in ("e", "E", "."):
            chars.fail("illegal octal number")
        return self._fraction_or_integer(char)

    def _mantissa(self, char: str) -> str:
        """Read digits; gives the first character that is none, which is still to be read if digits were."""
        scanned = False
        while char in _DECIMAL:
            char = self.chars.next()
            scanned = True
        if scanned and char != END:
            self.chars.back()
        return char

    def _fraction(self) -> None:
        char = self._mantissa(self.chars.peek())
        if char in ("e", "E"):
            self._exponent(self.chars.next())

    def _exponent(self, char: str) -> None:
        if char in ("e", "E"):
            char = self.chars.next()
            if char in ("-", "+"):
                char = self.chars.next()
            self._mantissa(char)

    def _string(self) -> None:
        chars = self.chars
        braces = 0
        while True:
            char = chars.next()
            if char == END or (char == "\n" and (braces == 0 or not self.QUOTES_NEST)):
                chars.fail("literal not terminated")
                return
            if char == '"' and (braces == 0 or not self.QUOTES_NEST):
                return
            if braces == 0 and char == "$" and chars.peek() == "{":
                braces = 1
                chars.next()
            elif braces > 0 and char == "{":
                braces += 1
            elif braces > 0 and char == "}":
                braces -= 1
            if char == "\\":
                self._escape()

    def _escape(self) -> None:
        chars = self.chars
        char = chars.next()
        if char in _SIMPLE_ESCAPES:
            return
        if char in _OCTAL:
            self._digits(char, _OCTAL, 3)
        elif char in ("x", "u", "U"):
            self._digits(chars.next(), _HEXADECIMAL, {"x": 2, "u": 4, "U": 8}[char])
        else:
            chars.fail("illegal char escape")

    def _digits(self, char: str, allowed: frozenset[str], count: int) -> None:
        chars = self.chars
        left = count
        while left > 0 and char in allowed:
            char = chars.next()
            if char == END:
                break
            left -= 1
        if left > 0:
            chars.fail("illegal char escape")
        if left != count and char != END:
            chars.back()

    def _heredoc(self) -> None:
        chars = self.chars
        if chars.next() != "<":
            chars.fail("heredoc expected second '<', didn't see it")
            return
        start = chars.offset
        char = chars.next()
        if char == "-":
            char = chars.next()
        while char and (_is_letter(char) or char.isdecimal()):
            char = chars.next()
        if char == END:
            chars.fail("heredoc not terminated")
            return
        if char == "\r" and chars.peek() == "\n":
            char = chars.next()
        if char != "\n":
            chars.fail("invalid characters in heredoc anchor")
            return
        anchor = chars.text[start : chars.offset - 1]
        if anchor in ("", "-"):
            chars.fail("zero-length heredoc anchor")
            return
        closing = re.compile(rf"[ \t\n\v\f\r]*{re.escape(anchor.removeprefix('-'))}\r*")
        self._body(closing.fullmatch, len(anchor))

    def _body(self, is_closing: Callable[[str], object], shortest: int) -> None:
        """Read to the line that closes a heredoc; it is at least as long as the word that opened it."""
        chars = self.chars
        line_start = chars.offset
        while True:
            char = chars.next()
            if char == "\n":
                line = chars.text[line_start : chars.offset - 1]
                if len(line) >= shortest and is_closing(line):
                    return
                line_start = chars.offset
            if char == END:
                chars.fail("heredoc not terminated")
                return


class JsonScanner(Scanner):
    """The words of a JSON text, read as leniently as HCL reads JSON."""

    PUNCTUATION: ClassVar[dict[str, str]] = {**_PUNCTUATION, ":": tokens.COLON}
    QUOTES_NEST: ClassVar[bool] = False

    def scan(self) -> Token:
        token = super().scan()
        token.json = token.kind == tokens.STRING
        return token

    def _word(self, char: str) -> str:
        chars = self.chars
        if char == END:
            return tokens.EOF
        if _is_letter(char):
            kind = _JSON_KEYWORDS.get(self._identifier("-"))
            if kind is None:
                chars.fail("illegal char")
            return kind or tokens.ILLEGAL
        if char in _DECIMAL:
            return self._number(char)
        if char == '"':
            self._string()
            return tokens.STRING
        if char == ".":
            return self._period()
        if char == "-" and chars.peek() in _DECIMAL:
            return self._number(chars.next())
        if char in self.PUNCTUATION:
            return self.PUNCTUATION[char]
        chars.fail("illegal char" if char == "-" else f"illegal char: {char}")
        return tokens.ILLEGAL

    def _number(self, char: str) -> str:
        chars = self.chars
        start = chars.offset
        self._mantissa(char)
        kind = self._fraction_or_integer(chars.next())
        if kind == tokens.NUMBER and char == "0" and chars.offset != start:
            chars.fail("numbers cannot start with 0")
        return kind
