"""`consul connect ca set-config`: change the certificate authority's configuration."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config import gojson
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul connect ca set-config [options]

  Changes the configuration of the certificate authority to that of a JSON
  file with Provider and Config.
"""
FLAG_ERROR = "Failed to parse args: {}"
COMMON = "CS"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("config-file", "value", "The file.")


def run(call: Call) -> int:
    """Read the file and send it."""
    path = call.flag("config-file")
    if not path:
        raise CommandError("The -config-file flag is required")
    try:
        with open(path, "rb") as file:
            config = gojson.loads(file.read())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"Error reading config file: open {path}: {reason}") from None
    except gojson.JsonError as error:
        raise CommandError(f"Error parsing config file: {error}") from None
    if not isinstance(config, dict):
        text = gojson.mismatch(config, "Go value of type api.CAConfig")
        raise CommandError(f"Error parsing config file: {text}")
    try:
        call.client.put_json("/v1/connect/ca/configuration", config)
    except ApiError as error:
        raise CommandError(f"Error setting CA configuration: {error}") from None
    call.out("Configuration updated!")
    return OK
