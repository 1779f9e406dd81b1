"""Reading a whole configuration: `consul agent`'s arguments in, a `RuntimeConfig` out."""

from __future__ import annotations

from lictor.config import decode, sources
from lictor.config.build import Built, build
from lictor.config.decode import Values
from lictor.config.errors import ConfigError
from lictor.config.runtime import RuntimeConfig
from lictor.config.sources import CommandLine, Source

HCL_FLAG_NAME = "flags"


def from_arguments(arguments: list[str]) -> Built:
    """The configuration that `consul agent ARGUMENTS` means, without touching the data directory.

    Raises ConfigError, goflags.FlagError and goflags.HelpWanted.
    """
    return from_command_line(sources.command_line(arguments))


def from_command_line(line: CommandLine) -> Built:
    """The same for arguments already read; reads the files again, so a reload calls it."""
    if line.syntax and line.syntax not in sources.SYNTAXES:
        raise ConfigError("config: -config-format must be either 'hcl' or 'json'")
    found, warnings = sources.read_paths(line.paths, line.syntax)
    values: Values = {}
    for source in found:
        values = decode.merge(values, sources.parse(source))
    values = decode.merge(values, line.settings)
    for number, fragment in enumerate(line.fragments):
        values = decode.merge(values, sources.parse(Source(f"{HCL_FLAG_NAME}-{number}.hcl", "hcl", fragment)))
    built = build(values, dev_mode=line.dev)
    return Built(built.config, warnings + built.warnings)


def from_paths(paths: list[str], syntax: str = "") -> Built:
    """The configuration that these files and directories mean on their own. Raises ConfigError."""
    return from_command_line(CommandLine(dev=False, paths=paths, syntax=syntax, settings={}, fragments=[]))


def for_daemon(arguments: list[str]) -> RuntimeConfig:
    """The configuration of a daemon that is started on its own, not by the supervisor.

    Takes the arguments of `consul agent`, makes the data directory and the node ID when they are missing, and sets
    up logging. Raises what `from_arguments` raises, and ConfigError for a data directory that is another node's.
    """
    from lictor import logs
    from lictor.config import identity

    config = identity.settle(from_arguments(arguments).config)
    try:
        logs.setup(config.log)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None
    return config
