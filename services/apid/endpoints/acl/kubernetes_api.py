"""The two questions that are put to a Kubernetes API server: whose token is this, what is written on that account.

Blocking: to be called in a thread. Every connection is for one question, held to `TIMEOUT_S` and `MAX_ANSWER_BYTES`.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote as url_quote
from urllib.parse import urlsplit

from lictor.state.gotext import quote

TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 1 << 20
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class KubernetesError(Exception):
    """The API server was not reached or did not answer what it was asked; the text is what Go's client says."""


def ca_problem(pem: str) -> str:
    """What is wrong with certificates in PEM; empty when there is one and all can be read."""
    from cryptography.x509 import load_pem_x509_certificate

    blocks = [part.partition(_END)[0] for part in pem.split(_BEGIN)[1:] if _END in part]
    if not blocks:
        return "data does not contain any valid RSA or ECDSA certificates"
    try:
        for block in blocks:
            load_pem_x509_certificate(f"{_BEGIN}{block}{_END}\n".encode())
    except ValueError:
        return "x509: malformed certificate"
    return ""


class KubernetesApi:
    """A client of one API server, known by a service account's token."""

    def __init__(self, host: str, ca_cert: str, service_account_jwt: str) -> None:
        self._base = host.rstrip("/") if "://" in host else f"https://{host.rstrip('/')}"
        self._ca_cert = ca_cert
        self._token = "".join(service_account_jwt.split())

    def review(self, bearer_token: str) -> Mapping[str, Any]:
        """The status of a TokenReview. Errors: KubernetesError."""
        review = {
            "kind": "TokenReview",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"creationTimestamp": None},
            "spec": {"token": bearer_token},
            "status": {"user": {}},
        }
        answer = self._ask("POST", REVIEWS, "tokenreviews.authentication.k8s.io", "", review)
        status = answer.get("status")
        return status if isinstance(status, dict) else {}

    def annotations(self, namespace: str, name: str) -> Mapping[str, str]:
        """What is annotated on a service account. Errors: KubernetesError."""
        path = f"/api/v1/namespaces/{url_quote(namespace, safe='')}/serviceaccounts/{url_quote(name, safe='')}"
        metadata = self._ask("GET", path, "serviceaccounts", name).get("metadata")
        annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
        return annotations if isinstance(annotations, dict) else {}

    def _ask(self, method: str, path: str, resource: str, name: str, body: Any = None) -> Mapping[str, Any]:
        url = urlsplit(self._base + path)
        connection: http.client.HTTPConnection | None = None
        try:
            connection = self._connection(url.scheme, url.hostname or "", url.port)
            headers = {"Accept": "application/json", "Authorization": f"Bearer {self._token}"}
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, url.path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            raw = response.read(MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise KubernetesError(f"{method.capitalize()} {quote(self._base + path)}: {_failure(error, url)}") from None
        finally:
            if connection is not None:
                connection.close()
        answer = _object(raw)
        if not HTTPStatus.OK <= response.status <= HTTPStatus.PARTIAL_CONTENT:
            raise KubernetesError(_refusal(response.status, answer, raw, method, resource, name))
        if answer is None:
            raise KubernetesError("the server answered what is no JSON object")
        return answer

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        trusted = ssl.create_default_context(cadata=self._ca_cert)
        # Clusters' own authorities often lack extensions that only strict checking wants.
        trusted.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=trusted)


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(raw)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _refusal(status: int, answer: Mapping[str, Any] | None, raw: bytes, method: str, resource: str, name: str) -> str:
    """What the server says of its refusal, else what its status says."""
    if answer is not None and answer.get("kind") == "Status" and answer.get("message"):
        return str(answer["message"])
    told = raw.decode("utf-8", "replace").strip() or "unknown"
    what = _STATUS_TEXTS.get(status)
    if what is None:
        what = (
            told
            if status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
            else f"an error on the server ({quote(told)}) has prevented the request from succeeding"
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR
            else f"the server responded with the status code {status} but did not return more information"
        )
    return f"{what} ({method.lower()} {resource}{' ' + name if name else ''})"


_STATUS_TEXTS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


def _failure(error: Exception, url: Any) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if "mismatch" in error.verify_message:
            return f"x509: certificate is not valid for {url.hostname}"
        return "x509: certificate signed by unknown authority"
    address = f"{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}"
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {address}: connect: connection refused"
    if isinstance(error, TimeoutError):
        return f"dial tcp {address}: i/o timeout"
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {url.hostname}: no such host"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError):
        return "EOF"
    return str(error)
