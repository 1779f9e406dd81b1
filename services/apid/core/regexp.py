"""Whether a text is a regular expression that Go would take, and what Go says when it is not."""

from __future__ import annotations

import re


def regexp_problem(pattern: str) -> str:
    """Go's text about a malformed pattern; empty when it is well-formed."""
    try:
        re.compile(pattern)
    except re.error as error:
        return f"error parsing regexp: {_go_words(pattern, error)}"
    return ""


def _go_words(pattern: str, error: re.error) -> str:
    message = error.msg
    if message.startswith("missing ), unterminated"):
        return f"missing closing ): `{pattern}`"
    if message.startswith("unbalanced parenthesis"):
        return f"unexpected ): `{pattern}`"
    position = error.pos or 0
    if message.startswith("nothing to repeat"):
        return f"missing argument to repetition operator: `{pattern[position : position + 1]}`"
    if message.startswith("multiple repeat"):
        return f"invalid nested repetition operator: `{pattern[max(position - 1, 0) : position + 1]}`"
    if message.startswith("unterminated character set"):
        return f"missing closing ]: `{pattern[position:]}`"
    if message.startswith("bad escape (end of pattern)"):
        return "trailing backslash at end of expression: ``"
    if message.startswith("bad escape"):
        return f"invalid escape sequence: `{pattern[position : position + 2]}`"
    if message.startswith("bad character range"):
        return f"invalid character class range: `{message.removeprefix('bad character range ')}`"
    return f"invalid or unsupported Perl syntax: `{pattern[position:]}`"
