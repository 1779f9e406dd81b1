"""Completion in shells: what the word being typed may become, and the line in a shell's files that makes it ask.

A shell asks by running the program with the line so far in COMP_LINE, and reads one proposal per line.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from lictor.cli import usage
from lictor.cli.commands import COMMANDS, GROUPS

PROGRAM = "consul"
TOP_FLAGS = ("-autocomplete-install", "-autocomplete-uninstall", "-help", "-version")
BASH_FILES = (".bashrc", ".bash_profile", ".bash_login", ".profile")
FISH = """
function __complete_{name}
    set -lx COMP_LINE (commandline -o | string join ' ')
    test -z (commandline -ct); and set COMP_LINE "$COMP_LINE "
    {program}
end
complete -c {name} -a "(__complete_{name})"
"""


class CompletionError(Exception):
    """The shells' files cannot be changed."""


def run(line: str) -> int:
    """Print the proposals for a line."""
    for word in proposals(line):
        print(word)
    return 0


def proposals(line: str) -> list[str]:
    """What the last word of the line may become, sorted."""
    words = line.split()
    if line[-1:].isspace():
        words.append("")
    typed = words[-1].rpartition("=")[2] if words else ""
    name = ""
    for word in words[1:-1]:
        longer = f"{name} {word}".strip()
        if longer in COMMANDS or longer in GROUPS:
            name = longer
    found = flags_of(name) if typed.startswith("-") else subcommands(name)
    return sorted(word for word in found if word.startswith(typed))


def subcommands(name: str) -> list[str]:
    """The words that may follow a group's name."""
    start = f"{name} " if name else ""
    inner = (path.removeprefix(start) for path in (*COMMANDS, *GROUPS) if path.startswith(start))
    return [path for path in inner if " " not in path]


def flags_of(name: str) -> list[str]:
    """The flags that may follow a command's name."""
    if not name:
        return list(TOP_FLAGS)
    if name in GROUPS:
        return []
    return [f"-{flag}" for flag in usage.flag_set(importlib.import_module(COMMANDS[name][0])).flags]


def settle(install: bool, uninstall: bool) -> int:
    """Make the shells ask, or no longer."""
    try:
        if install and uninstall:
            raise CompletionError("Either the autocomplete install or uninstall flag may be specified, but not both.")
        shells = _shells()
        if install and not shells:
            raise CompletionError("Did not find any shells to install")
        if not shells:
            raise CompletionError("Did not find any shells to uninstall")
        failures = [text for change in shells if (text := change(install))]
        if failures and install:
            noun = "error" if len(failures) == 1 else "errors"
            listed = "\n\t".join(f"* {text}" for text in failures)
            raise CompletionError(f"{len(failures)} {noun} occurred:\n\t{listed}\n")
    except (CompletionError, OSError) as error:
        print(f"Error executing CLI: {error}", file=sys.stderr)
        return 1
    return 0


def _shells() -> list[_BashLike | _Fish]:
    home = Path.home()
    program = str(Path(sys.argv[0]).absolute())
    line = f"complete -C {program} {PROGRAM}"
    found: list[_BashLike | _Fish] = []
    bash = next((home / name for name in BASH_FILES if (home / name).exists()), None)
    if bash is not None:
        found.append(_BashLike(bash, [line]))
    if (home / ".zshrc").exists():
        found.append(
            _BashLike(
                home / ".zshrc",
                ["autoload -U +X bashcompinit && bashcompinit", f"complete -o nospace -C {program} {PROGRAM}"],
            )
        )
    fish = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "fish"
    if fish.is_dir():
        found.append(_Fish(fish, program))
    return found


class _BashLike:
    """A shell that runs lines of a file at its start."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self._path, self._lines = path, lines

    def __call__(self, install: bool) -> str:
        """Add or remove the lines; why not, or nothing."""
        present = self._path.read_text().splitlines()
        command = self._lines[-1]
        if install:
            if command in present:
                return f"already installed in {self._path}"
            missing = [line for line in self._lines if line not in present]
            with self._path.open("a") as file:
                file.write("".join(f"\n{line}\n" for line in missing))
            return ""
        if command not in present:
            return f"does not installed in {self._path}"
        kept = [line for line in present if line != command]
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.write_text("".join(f"{line}\n" for line in kept))
        fresh.chmod(self._path.stat().st_mode)
        fresh.replace(self._path.resolve())
        return ""


class _Fish:
    """A shell with one file per completed program."""

    def __init__(self, directory: Path, program: str) -> None:
        self._path, self._program = directory / "completions" / f"{PROGRAM}.fish", program

    def __call__(self, install: bool) -> str:
        """Make or remove the file; why not, or nothing."""
        if install:
            if self._path.exists():
                return f"already installed at {self._path}"
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(FISH.format(name=PROGRAM, program=self._program))
            return ""
        if not self._path.exists():
            return f"does not installed in {self._path.parent.parent}"
        self._path.unlink()
        return ""
