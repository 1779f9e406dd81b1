"""`consul`: finds the command, reads its flags, runs it. Imports nothing the command does not need."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

from lictor.cli import usage, words
from lictor.cli.commands import COMMANDS, GROUPS
from lictor.config.goflags import FlagError, HelpWanted

NOT_FOUND = 127
FAILED = 1
INTERRUPTED = 130
EARLY_FLAGS = """Invalid flags before the subcommand. If these flags are for
the subcommand, please put them after the subcommand.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    try:
        return _dispatch(sys.argv[1:] if arguments is None else arguments)
    except BrokenPipeError:
        # Whoever read the output is gone: nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _dispatch(arguments: list[str]) -> int:
    if os.environ.get("COMP_LINE"):
        from lictor.cli import completion

        return completion.run(os.environ["COMP_LINE"])
    line = words.read(arguments)
    if line.version:
        return run(importlib.import_module(COMMANDS["version"][0]), [])
    if line.help and not line.name:
        return _show(usage.top(), 0)
    if line.install or line.uninstall:
        from lictor.cli import completion

        return completion.settle(line.install, line.uninstall)
    if line.name in GROUPS:
        text = usage.group(line.name)
    elif line.name not in COMMANDS:
        return _show(usage.top(), NOT_FOUND)
    else:
        module = importlib.import_module(COMMANDS[line.name][0])
        if not line.help and not line.has_early_flags:
            return run(module, line.arguments)
        text = usage.command(module)
    if line.help:
        return _show(text, 0)
    return _show(f"{EARLY_FLAGS}\n{text}" if line.has_early_flags else text, FAILED)


def _show(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code


def run(module: ModuleType, arguments: list[str]) -> int:
    """Read the flags of a command and run it."""
    if hasattr(module, "main"):
        return int(module.main(arguments))
    from lictor.cli.call import Call, CommandError, UsageWanted
    from lictor.cli.client import ApiError

    flags = usage.flag_set(module)
    try:
        given, rest, _ = flags.parse(arguments)
        call = Call(given, rest)
        try:
            code = int(module.run(call))
        finally:
            call.close()
        sys.stdout.flush()
        return code
    except HelpWanted:
        return _show(usage.command(module), 0)
    except FlagError as error:
        sys.stderr.write(f"{error}\nUsage:\n{flags.defaults()}")
        if again := getattr(module, "FLAG_ERROR", ""):
            print(again.format(error), file=sys.stderr)
        return int(getattr(module, "WRONG_FLAGS", FAILED))
    except UsageWanted as error:
        sys.stdout.flush()
        text = usage.command(module)
        return _show(f"{error}{error.gap}{text}" if str(error) else text, FAILED)
    except (CommandError, ApiError) as error:
        sys.stdout.flush()
        return _show(str(error), FAILED)


if __name__ == "__main__":
    sys.exit(main())
