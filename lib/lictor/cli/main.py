"""`consul`: finds the command, reads its flags, runs it. Imports nothing the command does not need."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

from lictor.cli.commands import COMMANDS, GROUPS, TOP_LEVEL
from lictor.config.goflags import FlagError, FlagSet, HelpWanted

NOT_FOUND = 127
FAILED = 1
INTERRUPTED = 130
HELP_FLAGS = frozenset({"-h", "-help", "--help"})
VERSION_FLAGS = frozenset({"-v", "-version", "--version"})
RUNNERS = frozenset({"lock", "exec", "watch"})

_CLIENT_FLAGS = (
    ("ca-file", "string", "File of the authority that signed the agent's certificate. Also CONSUL_CACERT."),
    ("ca-path", "string", "Directory of such files. Also CONSUL_CAPATH."),
    ("client-cert", "string", "Certificate to show to the agent. Also CONSUL_CLIENT_CERT."),
    ("client-key", "string", "Key of that certificate. Also CONSUL_CLIENT_KEY."),
    (
        "http-addr",
        "string",
        "Address of the agent: host:port, http://, https:// or unix:///path. Also CONSUL_HTTP_ADDR. By default"
        " http://127.0.0.1:8500.",
    ),
    ("tls-server-name", "string", "Name to expect in the agent's certificate. Also CONSUL_TLS_SERVER_NAME."),
    ("token", "string", "Token to send with the request. Also CONSUL_HTTP_TOKEN."),
    ("token-file", "string", "File that holds the token. Also CONSUL_HTTP_TOKEN_FILE."),
)
_SERVER_FLAGS = (
    ("datacenter", "string", "Datacenter to ask; the agent's own when not given."),
    ("stale", "bool", "Let any server answer, not only the leader: faster, perhaps a little old."),
)
_NAMESPACE_FLAGS = (("namespace", "string", "Namespace; not supported. Also CONSUL_NAMESPACE."),)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        return _dispatch(words)
    except BrokenPipeError:
        # Whoever read the output is gone: nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _dispatch(words: list[str]) -> int:
    if words[:1] and words[0] in HELP_FLAGS:
        print(top_usage())
        return 0
    before_dashes = words[: words.index("--")] if "--" in words else words
    runs_programs = words[:1] and words[0] in RUNNERS
    if not runs_programs and any(word in VERSION_FLAGS for word in before_dashes):
        words = ["version"]
    if words[:1] == ["agent"]:
        from lictor.agent import main as agent

        return agent.main(words[1:])
    name, rest = find(words)
    if name in GROUPS:
        if rest and rest[0] in HELP_FLAGS:
            print(group_usage(name))
            return 0
        print(group_usage(name), file=sys.stderr)
        return FAILED
    if name not in COMMANDS:
        print(top_usage(), file=sys.stderr)
        return NOT_FOUND
    return run(importlib.import_module(COMMANDS[name][0]), rest)


def find(words: list[str]) -> tuple[str, list[str]]:
    """The longest command or group the words begin with, and the words behind it."""
    name = ""
    for count, word in enumerate(words, 1):
        longer = f"{name} {word}".strip()
        if longer not in COMMANDS and longer not in GROUPS:
            return name, words[count - 1 :]
        name = longer
    return name, []


def run(module: ModuleType, arguments: list[str]) -> int:
    """Read the flags of a command and run it."""
    from lictor.cli.call import Call, CommandError, UsageWanted
    from lictor.cli.client import ApiError

    common, own = flag_sets(module)
    together = FlagSet()
    together.flags = {**common.flags, **own.flags}
    try:
        given, rest, _ = together.parse(arguments)
        call = Call(given, rest)
        try:
            code = int(module.run(call))
        finally:
            call.close()
        sys.stdout.flush()
        return code
    except HelpWanted:
        print(usage(module))
        return 0
    except FlagError as error:
        print(f"{error}\nUsage:\n{together.usage()}", file=sys.stderr)
    except UsageWanted as error:
        sys.stdout.flush()
        print(f"{error}\n\n{usage(module)}" if str(error) else usage(module), file=sys.stderr)
    except (CommandError, ApiError) as error:
        sys.stdout.flush()
        print(error, file=sys.stderr)
    return FAILED


def flag_sets(module: ModuleType) -> tuple[FlagSet, FlagSet]:
    """The flags a command has in common with others, and its own."""
    common, own = FlagSet(), FlagSet()
    kinds: str = getattr(module, "COMMON", "")
    for letter, definitions in (("C", _CLIENT_FLAGS), ("S", _SERVER_FLAGS), ("N", _NAMESPACE_FLAGS)):
        if letter in kinds:
            for name, kind, text in definitions:
                common.add(name, kind, text)
    if hasattr(module, "define"):
        module.define(own)
    return common, own


def usage(module: ModuleType) -> str:
    """A command's usage text."""
    common, own = flag_sets(module)
    text = str(module.USAGE).strip("\n")
    if common.flags:
        text += f"\n\nHTTP API Options\n\n{common.usage()}"
    if own.flags:
        text += f"\n\nCommand Options\n\n{own.usage()}"
    return text


def group_usage(name: str) -> str:
    """What a command group offers."""
    inner = sorted(
        (path.removeprefix(f"{name} "), about)
        for path, about in {**{path: entry[1] for path, entry in COMMANDS.items()}, **GROUPS}.items()
        if path.startswith(f"{name} ") and " " not in path.removeprefix(f"{name} ")
    )
    width = max(len(path) for path, _ in inner)
    listed = "\n".join(f"    {path.ljust(width)}    {about}" for path, about in inner)
    return f"Usage: consul {name} <subcommand> [options] [args]\n\n  {GROUPS[name]}\n\nSubcommands:\n{listed}"


def top_usage() -> str:
    """The list of all commands."""
    width = max(len(name) for name in TOP_LEVEL)
    listed = "\n".join(f"    {name.ljust(width)}    {about}" for name, about in sorted(TOP_LEVEL.items()))
    return f"Usage: consul [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n{listed}\n"


if __name__ == "__main__":
    sys.exit(main())
