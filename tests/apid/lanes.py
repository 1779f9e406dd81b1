"""Steps in the form of the recorded cases, done on two agents side by side; only HTTP, nothing is expected here."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from tools.agents import Agent

VARIABLE = re.compile(r"\$\{(\w+)\}")
TIMEOUT_S = 60
# What is done on two agents one after the other may show different moments: so long may it take to become alike.
SETTLE_S = 4.0
# A started request gets this much time to reach its agent before the next step.
BACKGROUND_HEAD_START_S = 0.3

# What differs between two clusters by nature: indexes, generated IDs, times, keys, measured values.
MASKS = [
    (re.compile(rb'("(?:\w*Index|\w*index|LTime|Version)"\s*:\s*)\d+'), rb"\1<n>"),
    (re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), b"<uuid>"),
    (re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:Z|[+-]\d\d:\d\d)"), b"<time>"),
    (re.compile(rb"-?\d+\.\d+(?:e-?\d+)?"), b"<float>"),
    (
        re.compile(
            rb'("(?:\w*Term|LastContact|\w*Sum|\w*Ns|\w*Time|duration|Count|Value|Sum|Rate|\w*_id)"\s*:\s*)[^,}\]\n]+'
        ),
        rb"\1<v>",
    ),
    (re.compile(rb"-----BEGIN[^-]+-----[^-]+-----END[^-]+-----"), b"<pem>"),
    (re.compile(rb"(?:[0-9a-f]{2}:){7,}[0-9a-f]{2}"), b"<fingerprint>"),
    (re.compile(rb"modify index \d+"), b"modify index <n>"),
    (re.compile(rb'"Hash":\s?"[^"]{44}"'), b'"Hash":"<hash>"'),
    (re.compile(rb'"[0-9a-f]{16,}"'), b'"<hash>"'),
    (re.compile(rb'("[a-z_.]+"\s*:\s*)"\d+"'), rb'\1"<digits>"'),
]
# Answers about the process itself: of these the keys are compared, of figures and archives only that they are there.
SELF = "/v1/agent/self"
MEASURED = ("/v1/agent/metrics", "/v1/agent/host")
# Lists in the order of IDs that each cluster makes up: compared without order.
BY_GENERATED_ID = ("/v1/session/list", "/v1/session/node", "/v1/query", "/v1/connect/intentions")
MASKED_HEADERS = frozenset(("date", "x-consul-index", "x-consul-lastcontact", "x-consul-contenthash", "age"))


@dataclass(frozen=True, slots=True)
class Got:
    """One answer as it came; `headers` in order, with the case as sent."""

    version: int
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    path: str = ""

    def masked(self, hide: Callable[[bytes], bytes]) -> Got:
        """Without what differs by nature. A length is only kept when nothing in the body was hidden."""
        body = self.body
        if any(name == "Content-Encoding" for name, _ in self.headers):
            body = gzip.decompress(body)
        content_type = dict(self.headers).get("Content-Type", "")
        if content_type == "application/x-gzip" or self.path.startswith(MEASURED):
            shown = b"<measured>"
        elif self.path.startswith(SELF) and body.startswith(b"{"):
            shown = json.dumps(_keys(json.loads(body)), sort_keys=True).encode()
        elif self.path.startswith(BY_GENERATED_ID) and body.startswith(b"[{"):
            shown = b"\n".join(sorted(hide(json.dumps(item).encode()) for item in json.loads(body)))
        else:
            shown = hide(body)
        headers = []
        for name, value in self.headers:
            if name.lower() in MASKED_HEADERS or (name == "Content-Length" and shown != self.body):
                value = "<masked>"
            headers.append((name, hide(value.encode("latin-1")).decode("latin-1")))
        return Got(self.version, self.status, self.reason, tuple(headers), shown, self.path)


def _keys(value: Any) -> Any:
    """The value's objects with their keys; the order of some figures is chance, what else it holds is left out."""
    return {key: _keys(item) for key, item in value.items()} if isinstance(value, dict) else None


@dataclass(slots=True)
class Side:
    """One agent with the variables captured from it."""

    agent: Agent
    variables: dict[str, Any]
    pending: dict[str, Future[Got]] = field(default_factory=dict)

    def fill(self, value: Any) -> Any:
        """The value with `${variables}` filled in. Errors: KeyError for one that was not captured."""
        if isinstance(value, str):
            whole = VARIABLE.fullmatch(value)
            if whole:
                return self.variables[whole.group(1)]
            return VARIABLE.sub(lambda match: str(self.variables[match.group(1)]), value)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {self.fill(key): self.fill(item) for key, item in value.items()}
        return value

    def ask(self, step: dict[str, Any]) -> Got:
        """Does an HTTP step. Errors: KeyError, OSError."""
        method, path = self.fill(step["http"]).split(" ", 1)
        headers = {name: str(value) for name, value in self.fill(step.get("headers", {})).items()}
        connection = http.client.HTTPConnection(self.agent.http, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body=self._body(step), headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        return Got(answer.version, answer.status, answer.reason, tuple(answer.getheaders()), body, path)

    def _body(self, step: dict[str, Any]) -> bytes | None:
        if "json" in step:
            return json.dumps(self.fill(step["json"])).encode()
        if "body" in step:
            return str(self.fill(step["body"])).encode()
        if "body_b64" in step:
            return base64.b64decode(self.fill(step["body_b64"]))
        if "body_fill" in step:
            return b"x" * int(step["body_fill"])
        return None

    def capture(self, step: dict[str, Any], got: Got) -> None:
        for name, where in step.get("capture", {}).items():
            if where == "body":
                self.variables[name] = got.body.decode()
            elif where.startswith("header:"):
                self.variables[name] = dict(got.headers).get(where[7:].title(), "")
            else:
                value = json.loads(got.body)
                for part in re.findall(r"[^.\[\]$]+", where):
                    value = value[int(part)] if isinstance(value, list) else value[part]
                self.variables[name] = value


class Pair:
    """Two agents that get the same steps."""

    def __init__(self, first: Agent, second: Agent) -> None:
        self.first, self.second = first, second
        self._agents = (first, second)
        self._pool = ThreadPoolExecutor(max_workers=16)
        self.compared = 0

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def run(self, name: str, steps: list[dict[str, Any]], run: str) -> list[str]:
        """The differences that the steps of a case show."""
        sides = tuple(
            Side(agent, {"run": run, "http": agent.http, "token": "", "tmp": "/nowhere"}) for agent in self._agents
        )
        found = []
        for number, step in enumerate(steps, 1):
            difference = self._step(sides, step)
            if difference:
                found.append(f"{name}, step {number}: {step.get('http', '')}: {difference}")
        return found

    def _step(self, sides: tuple[Side, ...], step: dict[str, Any]) -> str:
        if "sleep" in step:
            time.sleep(step["sleep"])
            return ""
        if "join" in step:
            pending = [side.pending.pop(step["join"], None) for side in sides]
            done = [one.result(TIMEOUT_S) for one in pending if one is not None]
            return self._difference(done) if len(done) == len(sides) else ""
        if "http" not in step:
            return ""
        try:
            if "background" in step:
                for side in sides:
                    side.pending[step["background"]] = self._pool.submit(side.ask, step)
                time.sleep(BACKGROUND_HEAD_START_S)
                return ""
            return self._ask(sides, step)
        except KeyError:
            # A variable that a step which is not HTTP would have given.
            return ""

    def _ask(self, sides: tuple[Side, ...], step: dict[str, Any]) -> str:
        reading = step["http"].startswith("GET ")
        deadline_s = time.monotonic() + max(SETTLE_S, float(step.get("retry_for", 0)))
        while True:
            done = [side.ask(step) for side in sides]
            difference = self._difference(done)
            if not difference or not reading or time.monotonic() > deadline_s:
                break
            time.sleep(0.1)
        try:
            for side, got in zip(sides, done, strict=True):
                side.capture(step, got)
        except (ValueError, LookupError, TypeError):
            # Nothing there yet to capture, e.g. because it takes a step that is not HTTP; what needs it is left out.
            pass
        return difference

    def _difference(self, done: list[Got]) -> str:
        self.compared += 1
        first, second = (got.masked(self._hide) for got in done)
        if replace(first, path="") == replace(second, path=""):
            return ""
        for name in ("version", "status", "reason", "headers", "body"):
            if getattr(first, name) != getattr(second, name):
                return f"{name}: {getattr(first, name)!r} and {getattr(second, name)!r}"
        raise AssertionError("unequal answers differ in a field")

    def _hide(self, text: bytes) -> bytes:
        for agent in self._agents:
            text = text.replace(agent.host.encode(), b"<host>").replace(str(agent.folder).encode(), b"<folder>")
        for pattern, shown in MASKS:
            text = pattern.sub(shown, text)
        return text
