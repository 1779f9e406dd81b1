"""An HTTP server that answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Request(NamedTuple):
    """What was asked."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class StubAgent:
    """Answers by method and path (without the query)."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                stub.requests.append(Request(self.command, self.path, dict(self.headers), body))
                key = f"{self.command} {self.path.partition('?')[0]}"
                status, text, headers = stub.answers.get(key, (404, b"", {}))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"

    def on(self, request: str, answer: Any = b"", status: int = 200, **headers: str) -> None:
        """Answer `METHOD /path` with bytes, or with a value as JSON."""
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.answers[request] = (status, text, {name.replace("_", "-"): value for name, value in headers.items()})


@contextmanager
def running_stub() -> Iterator[StubAgent]:
    """A stub that serves until the block ends."""
    stub = StubAgent()
    thread = threading.Thread(target=stub.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        stub.server.shutdown()
        thread.join()
        stub.server.server_close()
