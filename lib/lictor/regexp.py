"""Regular expressions of clients: RE2's syntax as Go has it, matched in linear time, refused with Go's texts.

Python's `re` is for patterns of our own: a client's could keep it busy for ever. RE2 is loaded with the first pattern.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

PATTERN_MEMORY_BYTES = 2 << 20
"""What one compiled pattern may take; it bounds the time for each byte of text, too."""
REMEMBERED_PATTERNS = 32

_GO_WORDS = {
    "invalid escape sequence": "invalid escape sequence",
    "invalid character class": "invalid character class",
    "invalid character class range": "invalid character class range",
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "unexpected )": "unexpected )",
    "trailing \\": "trailing backslash at end of expression",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid repetition size": "invalid repeat count",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid UTF-8": "invalid UTF-8",
    "invalid named capture group": "invalid named capture",
}


class RegexpError(ValueError):
    """The pattern is none; the text is Go's, with `error parsing regexp: ` before it."""


class Regexp:
    """A compiled pattern."""

    __slots__ = ("_compiled",)

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def found_in(self, text: str) -> bool:
        """Whether it matches anywhere in the text."""
        return self._compiled.search(_bytes(text)) is not None

    def groups(self, text: str) -> tuple[str, ...]:
        """The first match and its groups, empty for one that took no part; nothing without a match."""
        match = self._compiled.search(_bytes(text))
        if match is None:
            return ()
        return tuple(_text(group) for group in (match[0], *match.groups(default=b"")))


@lru_cache(maxsize=REMEMBERED_PATTERNS)
def compiled(pattern: str) -> Regexp:
    """The pattern, ready to match. Errors: RegexpError."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_MEMORY_BYTES
    encoded = _bytes(pattern)
    try:
        return Regexp(re2.compile(encoded, options))
    except re2.error as error:
        raise RegexpError(f"error parsing regexp: {_go_text(encoded, error.args[0])}") from None
    finally:
        # The module remembers four times as many as we do.
        re2.purge()


def problem_of(pattern: str) -> str:
    """Go's text about a malformed pattern; empty when it is well-formed."""
    try:
        compiled(pattern)
    except RegexpError as error:
        return str(error)
    return ""


def _go_text(pattern: bytes, message: bytes) -> str:
    words, _, what = _text(message).partition(": ")
    known = _GO_WORDS.get(words)
    if known is None:
        return f"expression too large: `{_text(pattern)}`"
    if words == "invalid UTF-8":
        if pattern.endswith(b"\\x{"):
            return "invalid escape sequence: `\\x{`"
        what = _text(_from_invalid_byte(pattern))
    if words == "invalid perl operator" and what.startswith("(?<"):
        what = "(?<"
    return f"{known}: `{what}`"


def _from_invalid_byte(encoded: bytes) -> bytes:
    try:
        encoded.decode("utf-8")
    except UnicodeDecodeError as error:
        return encoded[error.start :]
    return b""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(encoded: bytes) -> str:
    return encoded.decode("utf-8", "surrogateescape")
