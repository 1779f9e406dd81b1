"""A steady load of writes and reads that remembers what was acknowledged, and checks it afterwards."""

import base64
import http.client
import itertools
import random
import threading
import time
import urllib.error
from dataclasses import dataclass, field

from tools.agents import Agent

REQUEST_TIMEOUT_S = 20
PAUSE_AFTER_FAILURE_S = 0.02


@dataclass
class Load:
    """Writers put unique keys through random agents; readers read keys that were acknowledged before.

    `acknowledged` maps each key to its value; `read_gap_s` is the longest time during which no read succeeded.
    """

    agents: list[Agent]
    prefix: str
    writers: int = 3
    readers: int = 1
    seed: int = 1
    acknowledged: dict[str, str] = field(default_factory=dict)
    wrong_reads: list[str] = field(default_factory=list)
    reads: int = 0
    read_gap_s: float = 0.0
    write_gap_s: float = 0.0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Load":
        for number in range(self.writers):
            self._threads.append(threading.Thread(target=self._write, args=(number,), daemon=True))
        for number in range(self.readers):
            self._threads.append(threading.Thread(target=self._read, args=(number,), daemon=True))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(REQUEST_TIMEOUT_S + 5)

    def _request(self, agent: Agent, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(agent.host, agent.ports["http"], timeout=REQUEST_TIMEOUT_S)
        try:
            connection.request(method, path, body)
            with connection.getresponse() as answer:
                return answer.status, answer.read()
        finally:
            connection.close()

    def _write(self, number: int) -> None:
        chooser = random.Random(f"{self.seed} writer {number}")
        last_success = time.monotonic()
        for count in itertools.count():
            if self._stop.is_set():
                return
            key, value = f"{self.prefix}/{number}/{count}", f"value {number} {count}"
            try:
                status, body = self._request(chooser.choice(self.agents), "PUT", f"/v1/kv/{key}", value)
            except (OSError, http.client.HTTPException):
                status, body = 0, b""
            now = time.monotonic()
            if status == 200 and body.strip() == b"true":
                with self._lock:
                    self.acknowledged[key] = value
                    self.write_gap_s = max(self.write_gap_s, now - last_success)
                last_success = now
            else:
                self._stop.wait(PAUSE_AFTER_FAILURE_S)

    def _read(self, number: int) -> None:
        chooser = random.Random(f"{self.seed} reader {number}")
        last_success = time.monotonic()
        while not self._stop.is_set():
            with self._lock:
                known = chooser.choice(list(self.acknowledged.items())[-50:]) if self.acknowledged else None
            if known is None:
                self._stop.wait(PAUSE_AFTER_FAILURE_S)
                continue
            key, value = known
            try:
                status, body = self._request(chooser.choice(self.agents), "GET", f"/v1/kv/{key}?raw")
            except (OSError, http.client.HTTPException):
                status, body = 0, b""
            now = time.monotonic()
            if status == 200:
                self.reads += 1
                self.read_gap_s = max(self.read_gap_s, now - last_success)
                last_success = now
                if body.decode() != value:
                    self.wrong_reads.append(f"{key}: {body!r} instead of {value!r}")
            elif status == 404:
                self.wrong_reads.append(f"{key}: missing though acknowledged")
            else:
                self._stop.wait(PAUSE_AFTER_FAILURE_S)

    def lost(self, agent: Agent) -> list[str]:
        """Acknowledged keys that `agent` does not have, or has with another value. Reads consistently."""
        try:
            entries = agent.get(f"/v1/kv/{self.prefix}/?recurse&consistent", REQUEST_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 404:
                raise
            entries = []
        stored = {entry["Key"]: base64.b64decode(entry["Value"] or "").decode() for entry in entries}
        return [key for key, value in self.acknowledged.items() if stored.get(key) != value]
