"""`consul exec`: run a command on many nodes, through a session, keys and an event."""

from __future__ import annotations

import base64
import contextlib
import json
import posixpath
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from lictor import regexp
from lictor.cli.call import OK, Call, CommandError, UsageWanted
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
RENEW_INTERVAL_S = 5.0


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
    spec = job(call)
    _check_filters(call)
    try:
        own = call.client.get("/v1/agent/self").json()["Config"]
    except ApiError as error:
        raise CommandError(f"Error querying Consul agent: {error}") from None
    with _step("create session"):
        session = _session(call, own)
    ended = threading.Event()
    try:
        _keep(call, session, ended)
        _say(call, f"Created remote execution session: {session}")
        return _run(call, session, spec)
    finally:
        ended.set()
        with contextlib.suppress(ApiError):
            call.client.put(f"/v1/session/destroy/{session}")


def _run(call: Call, session: str, spec: dict[str, Any]) -> int:
    prefix = posixpath.join(call.flag("prefix", EVENT), session)
    with _step("create job file"):
        written = call.client.put(f"/v1/kv/{prefix}/job", {"acquire": session}, json.dumps(spec).encode())
    if written.body.strip() != b"true":
        raise CommandError(f"Failed to create job file: failed to acquire key {prefix}/job")
    try:
        _say(call, "Uploaded remote execution spec")
        time.sleep(call.flag("wait-repl", DEFAULT_REPLICATION_WAIT_NS) / 1e9)
        payload = json.dumps({"Prefix": call.flag("prefix", EVENT), "Session": session}).encode()
        query = {name: call.flag(name) for name in ("node", "service", "tag") if call.flag(name)}
        with _step("fire event"):
            fired = call.client.put(f"/v1/event/fire/{EVENT}", query, payload).json()
        _say(call, f"Fired remote execution event: {fired['ID']}")
        with _step("read results"):
            return Results(call, prefix).gather()
    finally:
        with contextlib.suppress(ApiError):
            # First the session: what comes later cannot be written any more and stay.
            call.client.put(f"/v1/session/destroy/{session}")
            call.client.delete(f"/v1/kv/{prefix}", {"recurse": ""})


@contextlib.contextmanager
def _step(what: str) -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        raise CommandError(f"Failed to {what}: {error}") from None


def job(call: Call) -> dict[str, Any]:
    """What the nodes are to do, as their agents read it."""
    wait = {"Wait": call.flag("wait", DEFAULT_WAIT_NS)}
    shell = call.flag("shell", True)
    if call.arguments == ["-"]:
        if not shell:
            raise CommandError("Cannot configure -shell=false when reading from stdin")
        if script := sys.stdin.buffer.read():
            return {"Script": base64.b64encode(script).decode(), **wait}
    elif any(call.arguments):
        return {"Command": " ".join(call.arguments), **wait} if shell else {"Args": call.arguments, **wait}
    raise UsageWanted("Must specify a command to execute")


def _check_filters(call: Call) -> None:
    for name in ("node", "service", "tag"):
        problem = regexp.problem_of(call.flag(name)) if call.flag(name) else ""
        if problem:
            raise CommandError(f"Failed to compile {name} filter regexp: {problem}")
    if call.flag("tag") and not call.flag("service"):
        raise CommandError("Cannot provide tag filter without service filter.")


def _session(call: Call, own: dict[str, Any]) -> str:
    """A session whose keys vanish with it; in another datacenter it needs one of that datacenter's nodes."""
    body: dict[str, Any] = {"Name": SESSION_NAME, "Behavior": "delete", "TTL": f"{SESSION_TTL_S}s"}
    datacenter = call.client.default_datacenter
    if datacenter and datacenter != own["Datacenter"]:
        _say(call, "Remote exec in foreign datacenter, using Session TTL")
        with _step("create session: Failed to find Consul server in remote datacenter"):
            servers = call.client.get("/v1/health/service/consul", {"passing": "1"}).json()
        if not servers:
            raise CommandError("Failed to create session: Failed to find Consul server in remote datacenter")
        node = servers[0]["Node"]["Node"]
        _say(call, f"Binding session to remote node {node}@{datacenter}")
        body |= {"Node": node, "Name": f"{SESSION_NAME} via {own['NodeName']}@{own['Datacenter']}", "Checks": []}
    return str(call.client.put_json("/v1/session/create", body).json()["ID"])


def _keep(call: Call, session: str, ended: threading.Event) -> None:
    client = Client(options(call.flags))

    def renew() -> None:
        while not ended.wait(RENEW_INTERVAL_S):
            try:
                client.put(f"/v1/session/renew/{session}")
            except ApiError as error:
                call.error(f"Session renew failed: {error}")
                return

    threading.Thread(target=renew, daemon=True).start()


def _say(call: Call, text: str) -> None:
    if call.flag("verbose", False):
        call.out(text)


class Results:
    """What the nodes write below the job's prefix, printed as it comes."""

    def __init__(self, call: Call, prefix: str) -> None:
        self._call, self._prefix = call, f"{prefix}/"
        self._seen: set[str] = set()
        self._acknowledged = 0
        self._exits: list[int] = []

    def gather(self) -> int:
        """Wait until nothing new comes for a while; the exit code. Raises ApiError."""
        started_s = quiet_since_s = time.monotonic()
        wait_s = self._call.flag("wait", DEFAULT_WAIT_NS) / 1e9
        index = 0
        while True:
            # Who still works is given more time; its agent tells once in `wait` that it does.
            patience_s = wait_s * 2 if self._acknowledged > len(self._exits) else wait_s
            left_s = quiet_since_s + patience_s - time.monotonic()
            if left_s <= 0:
                break
            query = {"keys": "", "index": str(index), "wait": f"{int(left_s * 1000) + 1}ms"}
            answer = self._call.client.get(f"/v1/kv/{self._prefix}", query, missing_ok=True, terse=True)
            index = index_of(answer)
            fresh = [key for key in (answer.json() if answer.status == 200 else ()) if key not in self._seen]
            self._seen.update(fresh)
            for key in sorted(fresh, key=_order):
                if key != f"{self._prefix}job":
                    self._take(key)
                    quiet_since_s = time.monotonic()
        self._call.out(f"{len(self._exits)} / {self._acknowledged} node(s) completed / acknowledged")
        _say(self._call, f"Completed in {time.monotonic() - started_s:.2f} seconds")
        return FAILED_SOMEWHERE if any(self._exits) or len(self._exits) < self._acknowledged else OK

    def _take(self, key: str) -> None:
        path = key.removeprefix(self._prefix)
        verbose = self._call.flag("verbose", False)
        if path.endswith("/ack"):
            self._acknowledged += 1
            if verbose:
                self._print("==>", path.removesuffix("/ack"), "acknowledged")
        elif path.endswith("/exit"):
            self._take_exit(path.removesuffix("/exit"), self._value(key))
        elif "/out/" in path:
            node, output = path.rpartition("/out/")[0], self._value(key)
            if output:
                self._print("   ", node, output)
            elif verbose:
                self._print("==>", node, "heartbeat received")
        else:
            self._call.error(f"Unknown key '{path}', ignoring.")

    def _take_exit(self, node: str, text: str) -> None:
        try:
            code = int(text)
        except ValueError:
            self._call.error(f"Failed to parse exit code '{text}'")
            return
        self._exits.append(code)
        self._print("==>", node, f"finished with exit code {code}")

    def _value(self, key: str) -> str:
        answer = self._call.client.get(f"/v1/kv/{key}", missing_ok=True, terse=True)
        if answer.status != 200:
            self._call.error(f"Failed to read key '{key}'")
            return ""
        return base64.b64decode(answer.json()[0]["Value"] or "").decode("utf-8", "replace")

    def _print(self, mark: str, node: str, text: str) -> None:
        self._call.out("\n".join(f"{mark} {node}: {line}" for line in text.split("\n")).rstrip())
        sys.stdout.flush()


def _order(key: str) -> tuple[int, str]:
    """A node's output comes before its end."""
    return 2 if key.endswith("/exit") else 0 if key.endswith("/ack") else 1, key
