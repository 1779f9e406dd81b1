#!/usr/bin/env python3
"""A web service that puts itself into the catalog: the whole of what an instance has to do to be found.

It answers every request with its host name. At SIGTERM it leaves the catalog first, goes on serving for a moment, so
that nobody who knows it still meets a closed door, and ends.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8000
DRAIN_S = 3
RETRY_S = 1
TIMEOUT_S = 5


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"{socket.gethostname()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are nginx's to log."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def put(url: str, body: object = None) -> None:
    data = b"" if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method="PUT"), timeout=TIMEOUT_S):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description="a web service that registers itself")
    parser.add_argument("--agent", required=True, help="the agent's URL")
    parser.add_argument("--service", default="web")
    options = parser.parse_args()
    address = socket.gethostbyname(socket.gethostname())
    identity = f"{options.service}-{socket.gethostname()}"
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    server = Server(("0.0.0.0", PORT), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    registration = {
        "ID": identity,
        "Name": options.service,
        "Address": address,
        "Port": PORT,
        "Check": {
            "HTTP": f"http://{address}:{PORT}/",
            "Interval": "1s",
            "Timeout": "1s",
            # One that was killed is forgotten after a while.
            "DeregisterCriticalServiceAfter": "1m",
        },
    }
    while not stopping.is_set():
        try:
            put(f"{options.agent}/v1/agent/service/register", registration)
            print(f"{identity} at {address}:{PORT} is registered")
            break
        except OSError as error:
            print(f"cannot register yet: {error}")
            stopping.wait(RETRY_S)
    stopping.wait()
    try:
        put(f"{options.agent}/v1/agent/service/deregister/{identity}")
    except OSError as error:
        print(f"cannot deregister: {error}")
    time.sleep(DRAIN_S)
    server.shutdown()


if __name__ == "__main__":
    main()
