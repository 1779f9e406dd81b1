"""Command line flags as Go's flag package reads them, and their usage text.

`-name`, `--name`, `-name=value`, `-name value`; booleans take no separate value; parsing stops at the first argument
that is no flag, or behind `--`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lictor.config import duration
from lictor.state.gotext import quote

UINT64_MAX = (1 << 64) - 1
INT64_MAX = (1 << 63) - 1
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
USAGE_WIDTH = 72


class FlagError(Exception):
    """The arguments cannot be read; worded as Go words it."""


class HelpWanted(Exception):
    """-h or -help was given."""


def boolean(text: str) -> bool:
    """Read a boolean. Raises ValueError for anything Go's strconv.ParseBool refuses."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("parse error")


def integer(text: str) -> int:
    """Read a signed 64-bit integer in Go's base-0 syntax. Raises ValueError."""
    return in_range(unbounded(text), -INT64_MAX - 1, INT64_MAX)


def unsigned(text: str) -> int:
    """Read an unsigned 64-bit integer in Go's base-0 syntax. Raises ValueError."""
    if text[:1] in ("-", "+"):
        raise ValueError("parse error")
    return in_range(unbounded(text), 0, UINT64_MAX)


def unbounded(text: str) -> int:
    """Read an integer of any size: decimal, 0x, 0o or 0 octal, 0b. Raises ValueError."""
    digits = text.lstrip("+-")
    try:
        if text != text.strip() or not digits or len(text) - len(digits) > 1:
            raise ValueError
        if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
            return int(text, 8)
        return int(text, 0)
    except ValueError:
        raise ValueError("parse error") from None


def span(text: str) -> int:
    """Read a duration into nanoseconds. Raises ValueError."""
    try:
        return duration.parse(text)
    except duration.DurationError:
        raise ValueError("parse error") from None


def pair(text: str, separator: str) -> tuple[str, str]:
    """Read `key=value` (the value may not be missing) or `key:value` (it may). Raises ValueError."""
    key, mark, value = text.partition(separator)
    if not mark and separator == "=":
        raise ValueError(f'Missing "=" value in argument: {text}')
    return key, value


def _worded(read: Callable[[str], Any], function: str) -> Callable[[str], Any]:
    """The same reader with the errors of strconv, which flags of the program's own types show."""

    def reader(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            reason = "value out of range" if "range" in str(error) else "invalid syntax"
            raise ValueError(f"strconv.{function}: parsing {quote(text)}: {reason}") from None

    return reader


def decimal(text: str) -> int:
    """Read a signed 64-bit integer, decimal only. Raises ValueError."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdecimal()):
        raise ValueError("parse error")
    return in_range(int(text), -INT64_MAX - 1, INT64_MAX)


def unsigned_decimal(text: str) -> int:
    """Read an unsigned 64-bit integer, decimal only. Raises ValueError."""
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("parse error")
    return in_range(int(text), 0, UINT64_MAX)


def in_range(value: int, least: int, most: int) -> int:
    """The value, if it lies between both bounds. Raises ValueError."""
    if not least <= value <= most:
        raise ValueError("value out of range")
    return value


class Flag:
    """One flag: its name, how to read it, what it says in the usage text.

    The word between backquotes in the text names the value. `default` is only shown: the command applies it.
    """

    __slots__ = ("collects", "default", "help", "is_bool", "metavar", "name", "read", "separator")

    def __init__(self, name: str, kind: str, text: str, default: str = "", separator: str = "=") -> None:
        self.name, self.help = name, text
        self.read, self.collects, metavar = _KINDS[kind]
        self.is_bool = kind in ("bool", "bool value")
        named = text.split("`")[1] if text.count("`") >= 2 else ""
        self.metavar = named or metavar
        self.default = f'"{default}"' if default and kind == "string" else default
        self.separator = separator


# Kinds with "value" in the name are read with types of Consul's own: other errors, another name in usage texts.
_KINDS: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "bool": (boolean, "", ""),
    "string": (str, "", "string"),
    "int": (integer, "", "int"),
    "uint": (unsigned, "", "uint"),
    "duration": (span, "", "duration"),
    "bool value": (_worded(boolean, "ParseBool"), "", ""),
    "value": (str, "", "value"),
    "int value": (_worded(decimal, "Atoi"), "", "value"),
    "uint value": (_worded(unsigned_decimal, "ParseUint"), "", "value"),
    "duration value": (duration.parse, "", "value"),
    "strings": (str, "list", "value"),
    "map": (str, "map", "value"),
}


class FlagSet:
    """The flags of one command."""

    def __init__(self) -> None:
        self.flags: dict[str, Flag] = {}

    def add(self, name: str, kind: str, text: str, default: str = "", separator: str = "=") -> None:
        """Define a flag. `kind`: see _KINDS; strings and map may be given several times."""
        assert name not in self.flags, f"flag {name} defined twice"
        self.flags[name] = Flag(name, kind, text, default, separator)

    def parse(self, arguments: list[str]) -> tuple[dict[str, Any], list[str], list[tuple[str, Any]]]:
        """The given flags' values, the arguments behind them, and the flags in order as given.

        Raises FlagError for what is no flag or no value, HelpWanted for -h and -help.
        """
        given: dict[str, Any] = {}
        order: list[tuple[str, Any]] = []
        rest = list(arguments)
        while rest:
            argument = rest[0]
            if len(argument) < 2 or argument[0] != "-":
                break
            rest.pop(0)
            if argument == "--":
                break
            body = argument[2:] if argument.startswith("--") else argument[1:]
            if not body or body[0] in "-=":
                raise FlagError(f"bad flag syntax: {argument}")
            name, has_value, text = body.partition("=")
            flag = self.flags.get(name)
            if flag is None:
                if name in ("h", "help"):
                    raise HelpWanted
                raise FlagError(f"flag provided but not defined: -{name}")
            if flag.is_bool:
                value: Any = self._boolean(flag, text) if has_value else True
            else:
                if not has_value:
                    if not rest:
                        raise FlagError(f"flag needs an argument: -{name}")
                    text = rest.pop(0)
                value = self._value(flag, text)
            order.append((name, value))
            if flag.collects == "list":
                given.setdefault(name, []).append(value)
            elif flag.collects == "map":
                key, content = value
                given.setdefault(name, {})[key] = content
            else:
                given[name] = value
        return given, rest, order

    @staticmethod
    def _boolean(flag: Flag, text: str) -> bool:
        try:
            return bool(flag.read(text))
        except ValueError as error:
            raise FlagError(f"invalid boolean value {quote(text)} for -{flag.name}: {error}") from None

    @staticmethod
    def _value(flag: Flag, text: str) -> Any:
        try:
            return pair(text, flag.separator) if flag.collects == "map" else flag.read(text)
        except ValueError as error:
            raise FlagError(f"invalid value {quote(text)} for flag -{flag.name}: {error}") from None

    def usage(self) -> str:
        """Every flag with its text, sorted by name, as a command's help shows them."""
        return "\n\n".join(
            f"  -{flag.name}{f'=<{flag.metavar}>' if flag.metavar else ''}\n{wrapped(flag.help)}"
            for _, flag in sorted(self.flags.items())
        )

    def defaults(self) -> str:
        """Every flag with its text and default, sorted by name, as Go shows them behind a wrong flag."""
        return "".join(
            f"  -{flag.name}{f' {flag.metavar}' if flag.metavar else ''}\n    \t{flag.help.replace('`', '')}"
            f"{f' (default {flag.default})' if flag.default else ''}\n"
            for _, flag in sorted(self.flags.items())
        )


def wrapped(text: str, indent: str = "     ", width: int = USAGE_WIDTH) -> str:
    """A paragraph in lines no wider than `width`."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        if line and len(indent) + len(line) + 1 + len(word) > width:
            lines.append(indent + line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return "\n".join([*lines, indent + line])
