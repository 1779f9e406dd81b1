"""The words behind `consul`: which command they name, and the flags that are valid wherever they stand."""

from __future__ import annotations

from typing import NamedTuple

from lictor.cli.commands import COMMANDS, GROUPS

HELP_FLAGS = frozenset({"-h", "-help", "--help"})
VERSION_FLAGS = frozenset({"-v", "--version"})
INSTALL_FLAGS = frozenset({"-autocomplete-install", "--autocomplete-install"})
UNINSTALL_FLAGS = frozenset({"-autocomplete-uninstall", "--autocomplete-uninstall"})
RUNNERS = frozenset({"lock", "exec", "watch"})
"""Commands whose arguments are another program's, with flags of its own."""


class Words(NamedTuple):
    """What the words say."""

    name: str
    """Command or group; an unknown first word as it is; empty when there is none."""
    arguments: list[str]
    help: bool
    version: bool
    install: bool
    uninstall: bool
    has_early_flags: bool
    """Flags stand before the command, where none is known."""


def read(words: list[str]) -> Words:
    """Take the words apart."""
    start = next((at for at, word in enumerate(words) if word[:1] not in ("", "-")), len(words))
    if "--" in words[:start]:
        start = len(words)
    name, arguments = find(words[start:])
    early = words[:start]
    ours = early + _before_dashes(arguments if name not in RUNNERS else _own_flags(arguments))
    known = HELP_FLAGS | VERSION_FLAGS | INSTALL_FLAGS | UNINSTALL_FLAGS | {"-version"}
    return Words(
        name or (words[start] if start < len(words) else ""),
        arguments,
        any(word in HELP_FLAGS for word in ours),
        any(word in VERSION_FLAGS for word in ours),
        any(word in INSTALL_FLAGS for word in ours),
        any(word in UNINSTALL_FLAGS for word in ours),
        any(word and word not in known for word in early),
    )


def find(words: list[str]) -> tuple[str, list[str]]:
    """The longest command or group the words begin with, and the words behind it."""
    name = ""
    for count, word in enumerate(words, 1):
        longer = f"{name} {word}".strip()
        if not word or " " in word or (longer not in COMMANDS and longer not in GROUPS):
            return name, words[count - 1 :]
        name = longer
    return name, []


def _before_dashes(words: list[str]) -> list[str]:
    return words[: words.index("--")] if "--" in words else words


def _own_flags(words: list[str]) -> list[str]:
    """The flags in front of the program to run."""
    return words[: next((at for at, word in enumerate(words) if word[:1] != "-"), len(words))]
