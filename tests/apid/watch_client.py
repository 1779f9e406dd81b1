"""A reader of /v1/watch that keeps copies of its topics as the contract tells clients to."""

import base64
import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from tools.agents import Agent

TIMEOUT_S = 30.0


def identity(row: dict[str, Any]) -> str:
    """What tells a row apart, as `Deletes` names it."""
    if "Service" in row and isinstance(row["Node"], dict):
        return json.dumps({"Node": row["Node"]["Node"], "ServiceID": row["Service"]["ID"]})
    return str(row.get("Key") or row.get("Name") or row.get("Node") or row["ID"])


class WatchClient:
    """Reads one stream on a thread of its own until closed."""

    def __init__(self, address: str, *topics: str, last_id: str = "", **parameters: str) -> None:
        self.copies: dict[str, dict[str, dict[str, Any]]] = {topic: {} for topic in topics}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.last_id = last_id
        self._changed = threading.Condition()
        self._connection = http.client.HTTPConnection(address, timeout=60)
        query = urlencode([*(("topic", topic) for topic in topics), *parameters.items()])
        self._connection.request("GET", f"/v1/watch?{query}", headers={"Last-Event-ID": last_id} if last_id else {})
        self._socket = self._connection.sock
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.text = "" if self.status == 200 else self._answer.read().decode()
        self._thread = threading.Thread(target=self._read, daemon=True)
        if self.status == 200:
            self._thread.start()

    def __enter__(self) -> "WatchClient":
        return self

    def __exit__(self, *_: object) -> None:
        if self.status == 200:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._thread.join(10)
        self._answer.close()
        self._connection.close()

    def _read(self) -> None:
        fields: dict[str, str] = {}
        try:
            while line := self._answer.readline():
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                    continue
                if "event" in fields:
                    self._take(fields)
                fields = {}
        except (OSError, http.client.HTTPException, ValueError):
            return

    def _take(self, fields: dict[str, str]) -> None:
        data = json.loads(fields["data"])
        with self._changed:
            self.last_id = fields.get("id", self.last_id)
            if fields["event"] != "error":
                copy = self.copies[data["Topic"]]
                if fields["event"] == "reset":
                    copy.clear()
                for row in data["Upserts"]:
                    copy[identity(row)] = row
                for gone in data["Deletes"]:
                    copy.pop(gone if isinstance(gone, str) else json.dumps(gone), None)
            self.events.append((fields["event"], data))
            self._changed.notify_all()

    def wait(self, what: str, condition: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                left_s = deadline_s - time.monotonic()
                assert left_s > 0, f"{what}: not within {timeout_s} s, last events {self.events[-3:]}"
                self._changed.wait(left_s)

    def names(self, topic: str) -> list[str]:
        return [name for name, data in self.events if data.get("Topic") == topic]

    def values(self, topic: str) -> dict[str, bytes]:
        """Keys and values of a KV topic's copy."""
        return {key: base64.b64decode(row["Value"] or "") for key, row in self.copies[topic].items()}


def knows_leader(agent: Agent) -> bool:
    """Whether the agent reaches a server that knows a leader."""
    connection = http.client.HTTPConnection(agent.http, timeout=10)
    try:
        connection.request("GET", "/v1/status/leader")
        answer = connection.getresponse()
        return answer.read() != b'""' and answer.status == 200
    finally:
        connection.close()
