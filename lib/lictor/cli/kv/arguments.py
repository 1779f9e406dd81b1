"""Arguments that are data: as they stand, from standard input (`-`) or from a file (`@name`)."""

from __future__ import annotations

import sys

from lictor.cli.call import Call, CommandError


def exactly(call: Call, count: int, expected: str = "", before: str = "") -> None:
    """Refuse more arguments than that."""
    if len(call.arguments) > count:
        raise CommandError(f"{before}Too many arguments (expected {expected or count}, got {len(call.arguments)})")


def data(text: str) -> bytes:
    """The bytes an argument stands for. Raises CommandError for an unreadable file."""
    if text == "-":
        return sys.stdin.buffer.read()
    if text.startswith("@"):
        try:
            with open(text[1:], "rb") as file:
                return file.read()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CommandError(f"Error! Failed to read file: open {text[1:]}: {reason}") from None
    return text.encode("utf-8", "surrogateescape")
