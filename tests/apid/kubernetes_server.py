"""The part of a Kubernetes API server that logging in needs, over real HTTPS."""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.apid.authority import Authority

ACCOUNT_PATH = re.compile(r"/api/v1/namespaces/([^/]+)/serviceaccounts/([^/]+)")
REVIEW_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"


def jwt(subject: str) -> str:
    """A token that looks like one; nobody checks its signature."""
    parts = (b'{"alg":"RS256"}', json.dumps({"sub": subject}).encode(), b"signature")
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


REVIEWER = jwt("reviewer")
"""Who may ask this server anything."""


class KubernetesServer:
    """Knows service accounts by their tokens. `statuses` replaces the status of a token's review."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder, "kubernetes-ca")
        self.ca_cert = authority.file.read_text()
        self.accounts: dict[str, tuple[str, str, str]] = {}
        self.annotations: dict[tuple[str, str], dict[str, str]] = {}
        self.statuses: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("kubernetes"))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    @property
    def config(self) -> dict[str, Any]:
        """An auth method's configuration for this server."""
        return {"Host": self.host, "CACert": self.ca_cert, "ServiceAccountJWT": REVIEWER}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, caller: str, body: Any) -> tuple[int, dict[str, Any]]:
        self.asked.append(f"{method} {path}")
        if caller != f"Bearer {REVIEWER}":
            return 401, _status("Unauthorized")
        if method == "POST" and path == REVIEW_PATH:
            return 201, {"kind": "TokenReview", "status": self._review(body["spec"]["token"])}
        account = ACCOUNT_PATH.fullmatch(path)
        if account is not None and (account[1], account[2]) in {known[:2] for known in self.accounts.values()}:
            annotations = self.annotations.get((account[1], account[2]))
            return 200, {"kind": "ServiceAccount", "metadata": {"name": account[2], "annotations": annotations}}
        return 404, _status(f'serviceaccounts "{path.rpartition("/")[2]}" not found')

    def _review(self, token: str) -> dict[str, Any]:
        if token in self.statuses:
            return self.statuses[token]
        known = self.accounts.get(token)
        if known is None:
            return {"user": {}, "error": "invalid bearer token"}
        namespace, name, uid = known
        return {"authenticated": True, "user": {"username": f"system:serviceaccount:{namespace}:{name}", "uid": uid}}


def _status(message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "message": message}


def _handler(server: KubernetesServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            caller = self.headers.get("Authorization", "")
            status, shown = server.answer(self.command, self.path, caller, body)
            raw = json.dumps(shown).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
