"""What `-h` shows: of a command, of a group of commands, of all."""

from __future__ import annotations

from types import ModuleType

from lictor.cli.commands import COMMANDS, GROUPS, TOP_LEVEL
from lictor.config.goflags import FlagSet

_CLIENT_FLAGS = (
    ("ca-file", "value", "File of the authority that signed the agent's certificate. Also CONSUL_CACERT."),
    ("ca-path", "value", "Directory of such files. Also CONSUL_CAPATH."),
    ("client-cert", "value", "Certificate to show to the agent. Also CONSUL_CLIENT_CERT."),
    ("client-key", "value", "Key of that certificate. Also CONSUL_CLIENT_KEY."),
    (
        "http-addr",
        "value",
        "The agent's `address`: host:port, http://, https:// or unix:///path. Also CONSUL_HTTP_ADDR. By default"
        " http://127.0.0.1:8500; with CONSUL_HTTP_SSL=true an address without scheme means HTTPS.",
    ),
    ("tls-server-name", "value", "Name to expect in the agent's certificate. Also CONSUL_TLS_SERVER_NAME."),
    ("token", "value", "ACL token to send with the request; the agent's own when not given. Also CONSUL_HTTP_TOKEN."),
    ("token-file", "value", "File that holds the token. Also CONSUL_HTTP_TOKEN_FILE."),
)
_SERVER_FLAGS = (
    ("datacenter", "value", "Datacenter to ask; the agent's own when not given."),
    ("stale", "bool value", "Let any server answer, not only the leader: faster, perhaps a little old."),
)
_NAMESPACE_FLAGS = (
    (
        "namespace",
        "value",
        "Namespace to ask; not supported. That of the token, or `default`, when not given. Also CONSUL_NAMESPACE.",
    ),
)
_HTTP_FLAGS = frozenset(name for name, _, _ in _CLIENT_FLAGS + _SERVER_FLAGS)


def flag_set(module: ModuleType) -> FlagSet:
    """All flags of a command: those it shares with others, and its own."""
    flags = FlagSet()
    kinds: str = getattr(module, "COMMON", "")
    for letter, definitions in (("C", _CLIENT_FLAGS), ("S", _SERVER_FLAGS), ("N", _NAMESPACE_FLAGS)):
        if letter in kinds:
            for name, kind, text in definitions:
                flags.add(name, kind, text)
    if hasattr(module, "define"):
        module.define(flags)
    return flags


def command(module: ModuleType) -> str:
    """A command's usage text."""
    return with_flags(str(module.USAGE), flag_set(module))


def with_flags(text: str, flags: FlagSet) -> str:
    """A usage text, then the flags: those of the HTTP client, then the others."""
    text = text.strip("\n")
    client, own = FlagSet(), FlagSet()
    for name, flag in flags.flags.items():
        (client if name in _HTTP_FLAGS else own).flags[name] = flag
    if client.flags:
        text += f"\n\nHTTP API Options\n\n{client.usage()}"
    if own.flags:
        text += f"\n\nCommand Options\n\n{own.usage()}"
    return text


def group(name: str) -> str:
    """What a command group offers."""
    inner = sorted(
        (path.removeprefix(f"{name} "), about)
        for path, about in {**{path: entry[1] for path, entry in COMMANDS.items()}, **GROUPS}.items()
        if path.startswith(f"{name} ") and " " not in path.removeprefix(f"{name} ")
    )
    width = max(len(path) for path, _ in inner)
    listed = "\n".join(f"    {path.ljust(width)}    {about}" for path, about in inner)
    return (
        f"Usage: consul {name} {_BEHIND.get(name, '<subcommand> [options] [args]')}\n\n  {GROUPS[name]}."
        f"\n  Each subcommand tells about itself with -h.\n\nSubcommands:\n{listed}"
    )


def top() -> str:
    """The list of all commands."""
    width = max(len(name) for name in TOP_LEVEL)
    listed = "\n".join(f"    {name.ljust(width)}    {about}" for name, about in sorted(TOP_LEVEL.items()))
    return f"Usage: consul [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n{listed}\n"


_BEHIND = {
    "operator": "<subcommand> [options]",
    "operator autopilot": "<subcommand> [options]",
    "operator raft": "<subcommand> [options]",
    "tls": "<subcommand> <subcommand> [options]",
    "tls ca": "<subcommand> [options] filename-prefix",
    "tls cert": "<subcommand> [options] [filename-prefix]",
}
"""What follows a group's name in its usage line, where it is not the usual."""
