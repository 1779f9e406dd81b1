"""A service's certificate and the roots it trusts, as TLS contexts that follow every rotation.

OpenSSL reads keys from files only: they are written to a folder of our own and removed at once.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from typing import Any

URI = "URI"


class Identity:
    """What the agent said last of a service's leaf and the roots. Contexts are made anew when either changes."""

    def __init__(self) -> None:
        self._leaf: dict[str, Any] | None = None
        self._roots: dict[str, Any] | None = None
        self._server: ssl.SSLContext | None = None
        self._client: ssl.SSLContext | None = None

    @property
    def ready(self) -> bool:
        """Whether connections can be made and taken."""
        return self._server is not None

    @property
    def uri(self) -> str:
        """Our own identity."""
        return str(self._leaf["ServiceURI"]) if self._leaf else ""

    @property
    def trust_domain(self) -> str:
        """Whose identities the roots speak for."""
        return str(self._roots["TrustDomain"]) if self._roots else ""

    def take_leaf(self, leaf: dict[str, Any]) -> None:
        """The answer of /v1/agent/connect/ca/leaf. Raises ssl.SSLError and OSError."""
        self._leaf = leaf
        self._renew()

    def take_roots(self, roots: dict[str, Any]) -> None:
        """The answer of /v1/agent/connect/ca/roots. Raises ssl.SSLError and OSError."""
        self._roots = roots
        self._renew()

    def server_context(self) -> ssl.SSLContext:
        """For connections that come in: the peer must show a certificate of our roots."""
        assert self._server is not None, "asked before it was ready"
        return self._server

    def client_context(self) -> ssl.SSLContext:
        """For connections that go out. Whom it leads to is told by `peer_uri` after the handshake, not by names."""
        assert self._client is not None, "asked before it was ready"
        return self._client

    def _renew(self) -> None:
        if self._leaf is None or not self._roots or not self._roots.get("Roots"):
            return
        self._server = self._context(ssl.PROTOCOL_TLS_SERVER, self._leaf, self._roots)
        self._client = self._context(ssl.PROTOCOL_TLS_CLIENT, self._leaf, self._roots)

    @staticmethod
    def _context(protocol: int, leaf: dict[str, Any], roots: dict[str, Any]) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata="\n".join(_trusted(root) for root in roots["Roots"]))
        with tempfile.TemporaryDirectory(prefix="lictor-leaf-") as folder:
            path = os.path.join(folder, "leaf.pem")
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(leaf["CertPEM"] + "\n" + leaf["PrivateKeyPEM"])
            context.load_cert_chain(path)
        return context


def _trusted(root: dict[str, Any]) -> str:
    return "\n".join([root["RootCert"], *(root.get("IntermediateCerts") or ())])


def peer_uri(certificate: dict[str, Any]) -> str:
    """The identity in a peer's certificate (as `getpeercert` gives it); empty when there is none."""
    return next((str(value) for kind, value in certificate.get("subjectAltName", ()) if kind == URI), "")


def serial_of(certificate: dict[str, Any]) -> str:
    """The serial number, as intentions are asked with."""
    digits = str(certificate.get("serialNumber", "")).lower()
    digits = digits if len(digits) % 2 == 0 else f"0{digits}"
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
