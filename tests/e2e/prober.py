"""Asks one agent over DNS and HTTP every 100 ms and remembers for how long it had no right answer.

Runs on a test host of its own: `python prober.py SERVICE ADDRESS RESULT_FILE`. It ends on SIGTERM and leaves in the
file, as JSON, per protocol: answers right and not, and the longest time without a right one.
"""

import http.client
import json
import signal
import socket
import sys
import threading
import time
from pathlib import Path

INTERVAL_S = 0.1
PATIENCE_S = 20.0
"""An answer that comes later is taken for none."""


class Record:
    """What one protocol answered. A gap reaches from one right answer to the next."""

    def __init__(self) -> None:
        self.right = self.wrong = 0
        self.longest_gap_s = 0.0
        self.problems: list[str] = []
        self._last_right_s = time.monotonic()
        self._lock = threading.Lock()

    def take(self, problem: str) -> None:
        now_s = time.monotonic()
        with self._lock:
            if problem:
                self.wrong += 1
                self.problems.append(problem[:200])
                return
            self.right += 1
            self.longest_gap_s = max(self.longest_gap_s, now_s - self._last_right_s)
            self._last_right_s = now_s

    def report(self) -> dict[str, object]:
        gap_s = max(self.longest_gap_s, time.monotonic() - self._last_right_s)
        return {"right": self.right, "wrong": self.wrong, "gap_s": gap_s, "problems": self.problems[-5:]}


def ask_http(service: str, address: str) -> str:
    """What is wrong with the answer over HTTP, "" when nothing is."""
    connection = http.client.HTTPConnection("127.0.0.1", 8500, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"/v1/health/service/{service}?passing")
        with connection.getresponse() as answer:
            body = answer.read()
        if answer.status != 200:
            return f"{answer.status} {body[:100]!r}"
        found = [item["Node"]["Address"] for item in json.loads(body)]
        return "" if found == [address] else f"{found}"
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()


def question(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"


def ask_dns(service: str, address: str) -> str:
    """The same over DNS."""
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.settimeout(PATIENCE_S)
        try:
            udp.sendto(question(f"{service}.service.consul"), ("127.0.0.1", 8600))
            answer = udp.recv(512)
        except OSError as error:
            return repr(error)
    code, count = answer[3] & 15, int.from_bytes(answer[6:8], "big")
    return "" if code == 0 and count == 1 and answer.endswith(socket.inet_aton(address)) else f"code {code}: {count}"


def main() -> None:
    service, address, result = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopping.set())
    records = {"dns": Record(), "http": Record()}
    asks = {"dns": ask_dns, "http": ask_http}

    def ask(protocol: str) -> None:
        records[protocol].take(asks[protocol](service, address))

    while not stopping.wait(INTERVAL_S):
        for protocol in records:
            # A thread each: one slow answer does not keep the next question back.
            threading.Thread(target=ask, args=(protocol,), daemon=True).start()
    written = result.with_suffix(".new")
    written.write_text(json.dumps({protocol: record.report() for protocol, record in records.items()}))
    written.rename(result)


if __name__ == "__main__":
    main()
