"""`consul validate`: whether configuration files would be accepted."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul validate [options] FILE_OR_DIRECTORY...

  Reads configuration files and directories as the agent would, all together,
  and says whether they make a valid configuration.
"""
FLAG_ERROR = "{}"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("config-format", "string", "Syntax of all files: hcl or json.")
    flags.add("quiet", "bool", "Say nothing when the configuration is valid.")


def run(call: Call) -> int:
    """Read them all."""
    if not call.arguments:
        raise CommandError("Must specify at least one config file or directory")
    syntax = call.flag("config-format")
    if syntax not in ("", "hcl", "json"):
        raise CommandError("-config-format must be either 'hcl' or 'json")
    from lictor.config import load
    from lictor.config.errors import ConfigError

    try:
        load.from_paths(call.arguments, syntax)
    except ConfigError as error:
        raise CommandError(f"Config validation failed: {error}") from None
    if not call.flag("quiet", False):
        call.out("Configuration is valid!")
    return OK
