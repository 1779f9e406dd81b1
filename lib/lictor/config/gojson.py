"""JSON read and written as Go's encoding/json does it, where users see the difference."""

from __future__ import annotations

import json
from typing import Any

_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


class JsonError(ValueError):
    """The text is no JSON; worded as Go words it."""


def loads(text: str | bytes) -> Any:
    """Decode one document.

    Raises JsonError when it is none.
    """
    try:
        string = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return json.loads(string, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise JsonError(_worded(string, error)) from None
    except RecursionError:
        raise JsonError("exceeded max depth") from None


def dumps(value: Any, indent: str = "    ") -> str:
    """Encode with this indent per level; `<`, `>` and `&` are escaped as Go escapes them."""
    return json.dumps(value, indent=indent, ensure_ascii=False).translate(_ESCAPES)


def compact(value: Any) -> str:
    """Encode on one line, without blanks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).translate(_ESCAPES)


def mismatch(value: Any, wanted: str, show_number: bool = False) -> str:
    """What Go says of a value that does not fit ("Go value of type …"); a number is shown if it is a field's."""
    kinds = {dict: "object", list: "array", str: "string", bool: "bool", type(None): "null"}
    kind = kinds.get(type(value), f"number {value}" if show_number else "number")
    return f"json: cannot unmarshal {kind} into {wanted}"


def _refuse_constant(name: str) -> Any:
    raise JsonError(f"invalid character {name[0]!r} looking for beginning of value")


def _worded(text: str, error: json.JSONDecodeError) -> str:
    at = error.pos
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    if at >= len(text) or error.msg.startswith("Unterminated string"):
        return "unexpected end of JSON input"
    char = repr(text[at]) if text[at] != "'" else "'\\''"
    if error.msg.startswith("Extra data"):
        return f"invalid character {char} after top-level value"
    if error.msg.startswith("Expecting property name"):
        return f"invalid character {char} looking for beginning of object key string"
    if "':' delimiter" in error.msg:
        return f"invalid character {char} after object key"
    if "',' delimiter" in error.msg:
        return f"invalid character {char} after {_container(text, at)}"
    if "Invalid control character" in error.msg:
        return f"invalid character {char} in string literal"
    return f"invalid character {char} looking for beginning of value"


def _container(text: str, at: int) -> str:
    """Whether the innermost bracket open before `at` is an array's or an object's; strings are skipped."""
    stack: list[str] = []
    in_string = False
    index = 0
    while index < at:
        char = text[index]
        if in_string:
            index += char == "\\"
            in_string = char != '"'
        elif char == '"':
            in_string = True
        elif char in "[{":
            stack.append(char)
        elif char in "]}":
            stack.pop()
        index += 1
    return "array element" if stack and stack[-1] == "[" else "object key:value pair"
