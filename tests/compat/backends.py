"""Small web servers for proxies to find: each answers every request with its own name."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ASK_TIMEOUT_S = 3


class Backends:
    """Web servers on loopback, by name."""

    def __init__(self) -> None:
        self._servers: list[ThreadingHTTPServer] = []

    def start(self, name: str, host: str = "127.0.0.1", port: int = 0) -> int:
        """Starts one that answers `name` (and as a metric, for Prometheus); returns its port."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                metrics = self.path == "/metrics"
                content = f'backend_up{{backend="{name}"}} 1\n'.encode() if metrics else name.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4" if metrics else "text/plain")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Requests are not logged."""

        server = ThreadingHTTPServer((host, port), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self._servers.append(server)
        return int(server.server_address[1])

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


def ask(port: int, path: str = "/", host: str = "127.0.0.1") -> tuple[int, str]:
    """Status and body of a GET."""
    connection = http.client.HTTPConnection(host, port, timeout=ASK_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def askers(port: int, wanted: set[str], path: str = "/", times: int = 12) -> bool:
    """Whether `times` requests are all answered with 200, and by exactly the `wanted` backends between them."""
    answers = [ask(port, path) for _ in range(times)]
    return all(status == 200 for status, _ in answers) and {body for _, body in answers} == wanted
