"""`consul watch`: print something once, or run a command whenever it changes."""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any

from lictor.cli.call import ERROR, OK, Call, CommandError, UsageWanted
from lictor.cli.client import ApiError
from lictor.cli.watching import (
    PARAMETERS,
    TYPES_OF_AGENT_ONLY,
    Query,
    WatchError,
    events_after,
    fetch,
    query_for,
)
from lictor.config import gojson
from lictor.config.goflags import FlagSet, boolean
from lictor.state.gotext import quote

USAGE = """
Usage: consul watch [options] [child...]

  Watches for changes of keys, services, nodes, checks or events. Without a
  child the present state is printed once; with one it is run at every change
  and gets the state as JSON on its standard input.
"""
COMMON = "CS"
DEFAULT_SHELL = "/bin/sh"
RETRY_INTERVAL_S = 5.0
MAX_RETRY_INTERVAL_S = 180.0


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("type", "string", "What to watch: key, keyprefix, services, nodes, service, checks or event.")
    flags.add("key", "string", "Key, for type key.")
    flags.add("prefix", "string", "Prefix of keys, for type keyprefix.")
    flags.add("service", "string", "Service, for types service and checks.")
    flags.add("tag", "strings", "Tag of the service, for type service. May be given several times.")
    flags.add("passingonly", "string", "Healthy instances only, `[true|false]`, for type service.")
    flags.add("state", "string", "State of checks, for type checks.")
    flags.add("name", "string", "Name of events, for type event.")
    flags.add("shell", "bool", "Run the child through a shell; this is the default.", "true")


def run(call: Call) -> int:
    """Print once or watch until the child fails."""
    kind = call.flag("type")
    if not kind:
        raise UsageWanted("Watch type must be specified")
    if kind in TYPES_OF_AGENT_ONLY:
        raise CommandError(f"Type {kind} is not supported in the CLI tool")
    given = {name: call.flag(name) for name in ("key", "prefix", "service", "tag", "state", "name")}
    if call.flag("passingonly"):
        try:
            given["passingonly"] = boolean(call.flag("passingonly"))
        except ValueError:
            text = quote(call.flag("passingonly"))
            reason = f"strconv.ParseBool: parsing {text}: invalid syntax"
            raise CommandError(f"Failed to parse passingonly flag: {reason}") from None
    try:
        query = query_for(kind, given)
    except WatchError as error:
        raise CommandError(str(error)) from None
    if strange := [name for name, value in given.items() if value and name not in PARAMETERS[kind]]:
        raise CommandError(f"Invalid parameters: [{' '.join(strange)}]")
    try:
        call.client.get("/v1/agent/self")
        if not call.arguments:
            _, result = fetch(call.client, query, 0)
            call.out(gojson.dumps(result))
            return OK
    except ApiError as error:
        raise CommandError(f"Error querying Consul agent: {error}") from None
    return _follow(call, query, command(call.arguments, call.flag("shell", True)))


def command(arguments: list[str], shell: bool) -> list[str]:
    """What to execute: the arguments themselves, or one line for the user's shell."""
    if not shell:
        return arguments
    return [os.environ.get("SHELL") or DEFAULT_SHELL, "-c", " ".join(arguments)]


def _follow(call: Call, query: Query, child: list[str]) -> int:
    index, failures = 0, 0
    last: Any = object()
    while True:
        try:
            fresh_index, result = fetch(call.client, query, index)
        except ApiError as error:
            failures += 1
            call.error(f"Watch errored: {error}, retry in {retry_s(failures):g}s")
            time.sleep(retry_s(failures))
            index = 0
            continue
        failures = 0
        if fresh_index == index:
            continue
        previous, index = index, 0 if fresh_index < index and not query.is_event else fresh_index
        if query.is_event:
            result = events_after(previous, result)
            if not result:
                continue
        elif result == last:
            continue
        last = result
        if not _run(call, child, fresh_index, result):
            return ERROR


def retry_s(failures: int) -> float:
    """How long to wait after so many failures in a row."""
    return min(RETRY_INTERVAL_S * failures * failures, MAX_RETRY_INTERVAL_S)


def _run(call: Call, child: list[str], index: int, result: Any) -> bool:
    environment = {**os.environ, "CONSUL_INDEX": str(index)}
    try:
        done = subprocess.run(child, input=(gojson.compact(result) + "\n").encode(), env=environment, check=False)
    except OSError as error:
        call.error(f"Error starting handler: {start_failure(child[0], error)}")
        return False
    if done.returncode != 0:
        call.error(f"Error executing handler: {status(done.returncode)}")
        return False
    return True


def start_failure(program: str, error: OSError) -> str:
    """Why a program could not be started, in Go's words."""
    if "/" not in program and isinstance(error, FileNotFoundError):
        return f'exec: "{program}": executable file not found in $PATH'
    return f"fork/exec {program}: {(error.strerror or str(error)).lower()}"


def status(code: int) -> str:
    """How a child ended, in Go's words."""
    import signal

    return f"exit status {code}" if code >= 0 else f"signal: {signal.strsignal(-code) or -code}".lower()
