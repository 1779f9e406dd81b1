"""`consul exec`: run a command on many nodes, through a session, keys and an event."""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from typing import Any

from lictor import regexp
from lictor.cli.call import ERROR, OK, Call, CommandError
from lictor.cli.client import ApiError, Client, options
from lictor.cli.watching import index_of
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul exec [options] [-|command...]

  Runs a command on the nodes of a datacenter that allow it (their agents need
  disable_remote_exec = false) and prints what it prints. With - the standard
  input is the script to run.
"""
COMMON = "CS"
FAILED_SOMEWHERE = 2
EVENT = "_rexec"
SESSION_TTL_S = 15
SESSION_NAME = "Remote Exec"
DEFAULT_WAIT_NS = 2_000_000_000
DEFAULT_REPLICATION_WAIT_NS = 200_000_000
MAX_QUIET_S = 60.0


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("node", "string", "Regular expression of node names.")
    flags.add("service", "string", "Regular expression of service names.")
    flags.add("tag", "string", "Regular expression of service tags; needs -service.")
    flags.add("prefix", "string", "Prefix of the keys used; _rexec when not given.", "_rexec")
    flags.add("shell", "bool", "Run the command through a shell; this is the default.", "true")
    flags.add("wait", "duration", "Time without news after which all is taken for done; 2s when not given.", "2s")
    flags.add("wait-repl", "duration", "Time for the job to reach all servers; 200ms when not given.", "200ms")
    flags.add("verbose", "bool", "Say what happens.")


def run(call: Call) -> int:
    """Spread the job, fire the event, gather what comes back."""
    if not call.arguments:
        raise CommandError("Must specify a command to execute")
    _check_filters(call)
    spec = job(call)
    renewing = threading.Event()
    session = ""
    try:
        session = _session(call)
        _keep(call, session, renewing)
        prefix = f"{call.flag('prefix', EVENT)}/{session}"
        key = f"/v1/kv/{prefix}/job"
        if call.client.put(key, {"acquire": session}, json.dumps(spec).encode()).body.strip() != b"true":
            raise CommandError("Failed to create job file")
        time.sleep(call.flag("wait-repl", DEFAULT_REPLICATION_WAIT_NS) / 1e9)
        payload = json.dumps({"Prefix": call.flag("prefix", EVENT), "Session": session}).encode()
        query = {name: call.flag(name) for name in ("node", "service", "tag") if call.flag(name)}
        fired = call.client.put(f"/v1/event/fire/{EVENT}", query, payload).json()
        if call.flag("verbose", False):
            call.out(f"Fired remote execution event: {fired['ID']}")
        return _gather(call, prefix)
    except ApiError as error:
        raise CommandError(f"Failed to run the remote command: {error}") from None
    finally:
        renewing.set()
        if session:
            _clean(call, session)


def job(call: Call) -> dict[str, Any]:
    """What the nodes are to do, as their agents read it."""
    spec: dict[str, Any] = {"Wait": call.flag("wait", DEFAULT_WAIT_NS)}
    if call.arguments == ["-"]:
        script = sys.stdin.buffer.read()
        if not script:
            raise CommandError("No script on standard input")
        return {**spec, "Script": base64.b64encode(script).decode()}
    if call.flag("shell", True):
        return {**spec, "Command": " ".join(call.arguments)}
    return {**spec, "Args": call.arguments}


def _check_filters(call: Call) -> None:
    if call.flag("tag") and not call.flag("service"):
        raise CommandError("Cannot provide tag filter without service filter.")
    for name in ("node", "service", "tag"):
        problem = regexp.problem_of(call.flag(name))
        if problem:
            raise CommandError(f"Failed to compile {name} filter regexp: {problem}")


def _session(call: Call) -> str:
    """A session whose keys vanish with it; in another datacenter it needs one of that datacenter's nodes."""
    body: dict[str, Any] = {"Name": SESSION_NAME, "Behavior": "delete", "TTL": f"{SESSION_TTL_S}s"}
    if call.client.default_datacenter:
        servers = call.client.get("/v1/health/service/consul", {"passing": "1"}).json()
        if not servers:
            raise CommandError("Failed to find Consul server in remote datacenter")
        body |= {"Node": servers[0]["Node"]["Node"], "Name": f"{SESSION_NAME} via {servers[0]['Node']['Node']}"}
    return str(call.client.put_json("/v1/session/create", body).json()["ID"])


def _keep(call: Call, session: str, ended: threading.Event) -> None:
    client = Client(options(call.flags))

    def renew() -> None:
        while not ended.wait(SESSION_TTL_S / 2):
            try:
                client.put(f"/v1/session/renew/{session}")
            except ApiError:
                return

    threading.Thread(target=renew, daemon=True).start()


def _clean(call: Call, session: str) -> None:
    try:
        call.client.delete(f"/v1/kv/{call.flag('prefix', EVENT)}/{session}", {"recurse": ""})
        call.client.put(f"/v1/session/destroy/{session}")
    except ApiError as error:
        call.error(f"Failed to clean up: {error}")


def _gather(call: Call, prefix: str) -> int:
    """Print results until nothing new comes for the wait; the exit code."""
    wait_s = call.flag("wait", DEFAULT_WAIT_NS) / 1e9
    seen: set[str] = set()
    acknowledged: set[str] = set()
    exits: dict[str, int] = {}
    index, quiet_since = 0, time.monotonic()
    while True:
        # All that answered are done: a short wait. Someone still works: a long one.
        patience_s = wait_s if len(exits) >= len(acknowledged) else max(wait_s * 2, MAX_QUIET_S)
        left_s = quiet_since + patience_s - time.monotonic()
        if left_s <= 0:
            break
        query = {"recurse": "", "index": str(index), "wait": f"{int(left_s * 1000) + 1}ms"}
        answer = call.client.get(f"/v1/kv/{prefix}/", query, missing_ok=True)
        index = index_of(answer)
        for entry in answer.json() if answer.status == 200 else ():
            if entry["Key"] in seen or entry["Key"] == f"{prefix}/job":
                continue
            seen.add(entry["Key"])
            quiet_since = time.monotonic()
            _take(call, entry["Key"].removeprefix(f"{prefix}/"), entry["Value"], acknowledged, exits)
    call.out(f"{len(exits)} / {len(acknowledged)} node(s) completed / acknowledged")
    failed = any(exits.values()) or len(exits) < len(acknowledged)
    return FAILED_SOMEWHERE if failed else OK


def _take(call: Call, path: str, value: str | None, acknowledged: set[str], exits: dict[str, int]) -> None:
    node, _, what = path.partition("/")
    content = base64.b64decode(value or "").decode("utf-8", "replace")
    if what == "ack":
        acknowledged.add(node)
        if call.flag("verbose", False):
            call.out(f"==> {node}: acknowledged")
    elif what == "exit":
        exits[node] = int(content) if content.lstrip("-").isdigit() else ERROR
        call.out(f"==> {node}: finished with exit code {content}")
    elif what.startswith("out/"):
        for line in content.splitlines():
            call.out(f"    {node}: {line}")
