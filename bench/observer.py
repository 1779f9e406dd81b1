"""Watches a service as its users see it, from inside one test host: `python -m bench.observer SERVICE ADDRESS…`.

Asks the agent on 127.0.0.1 every few milliseconds, by HTTP (`health/service?passing`) and by DNS (A over UDP), which of
the addresses are given out. Prints one JSON line whenever that differs from the last line; `at_s` is CLOCK_MONOTONIC,
which all processes of a machine share, taken when the answer had arrived.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct
import sys
import time

POLL_S = 0.01
HTTP_ADDRESS = ("127.0.0.1", 8500)
DNS_ADDRESS = ("127.0.0.1", 8600)
PATIENCE_S = 2.0
"""For one answer. An agent that does not answer gives nothing out."""
TYPE_A, CLASS_IN, FLAG_RD = 1, 1, 0x0100


def question(name: str, number: int) -> bytes:
    """A DNS packet that asks for the addresses of the name."""
    labels = b"".join(len(label).to_bytes(1, "big") + label.encode() for label in name.split("."))
    return struct.pack("!6H", number, FLAG_RD, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", TYPE_A, CLASS_IN)


class Observer:
    """One agent's view of one service."""

    def __init__(self, service: str, addresses: list[str]) -> None:
        self._path = f"/v1/health/service/{service}?passing"
        self._name = f"{service}.service.consul"
        self._addresses = addresses
        self._http = http.client.HTTPConnection(*HTTP_ADDRESS, timeout=PATIENCE_S)
        self._dns = socket.socket(type=socket.SOCK_DGRAM)
        self._dns.settimeout(PATIENCE_S)
        self._dns.connect(DNS_ADDRESS)
        self._number = 0

    def by_http(self) -> list[str]:
        try:
            self._http.request("GET", self._path)
            answer = self._http.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self._http.close()
            return []
        if answer.status != http.client.OK:
            return []
        given = {item["Node"]["Address"] for item in json.loads(body)}
        return [address for address in self._addresses if address in given]

    def by_dns(self) -> list[str]:
        self._number = self._number % 65_535 + 1
        try:
            self._dns.send(question(self._name, self._number))
            packet = self._dns.recv(4096)
            while int.from_bytes(packet[:2], "big") != self._number:
                packet = self._dns.recv(4096)
        except OSError:
            return []
        return [address for address in self._addresses if socket.inet_aton(address) in packet]


def main() -> int:
    observer = Observer(sys.argv[1], sys.argv[2:])
    last: dict[str, list[str]] = {}
    while True:
        for way, ask in (("http", observer.by_http), ("dns", observer.by_dns)):
            given = ask()
            if last.get(way) != given:
                last[way] = given
                print(json.dumps({"at_s": time.monotonic(), "way": way, "given": given}), flush=True)
        time.sleep(POLL_S)


if __name__ == "__main__":
    sys.exit(main())
