"""Request lines that Go's server takes and our parser does not: methods that nobody registered, bytes beyond ASCII."""

from __future__ import annotations

import re

STAND_IN_METHOD = b"POST"
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^ \x00-\x1f\x7f]+) (HTTP/1\.[01])\r\n")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")


def made_readable(data: bytes) -> tuple[bytes, bytes] | None:
    """What begins with such a request line, with another one that the parser takes, and the request's true method.

    None when the line is not complete or wrong altogether.
    """
    line = _LINE.match(data)
    if line is None:
        return None
    method, target, version = line.groups()
    escaped = _BEYOND_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], target)
    return b"%b %b %b\r\n" % (STAND_IN_METHOD, escaped, version) + data[line.end() :], method
