"""`consul monitor`: the agent's log, as it is written."""

from __future__ import annotations

from lictor.cli.call import ERROR, OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul monitor [options]

  Shows the agent's log lines as they come, until interrupted. The level may
  be lower than the one the agent logs with.
"""
COMMON = "C"
CLOSED = """
Remote side ended the monitor! This usually means that the
remote side has exited or crashed."""


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("log-level", "string", "Least level to show.", "INFO")
    flags.add("log-json", "bool", "Show lines as JSON.")


def run(call: Call) -> int:
    """Print lines until interrupted or the agent ends."""
    query = {"loglevel": call.flag("log-level", "INFO")}
    if call.flag("log-json", False):
        query["logjson"] = "true"
    try:
        for line in call.client.stream("/v1/agent/monitor", query):
            call.out(line.decode("utf-8", "replace"))
    except KeyboardInterrupt:
        return OK
    except ApiError as error:
        raise CommandError(f"Error starting monitor: {error}") from None
    call.out(CLOSED)
    return ERROR
