"""TLS of the public gRPC port: the certificate and the authorities of HTTPS, taken anew on reload.

Versions and cipher suites are gRPC's own: TLS 1.2 or newer.
"""

from __future__ import annotations

from pathlib import Path

import grpc

from apid.web.tls import server_context
from lictor.config.runtime import TlsConfig


class Certificates:
    """The server's credentials, whose certificate may change while it serves."""

    def __init__(self, tls: TlsConfig) -> None:
        """Errors: ListenError naming the setting that is wrong."""
        self._current = _loaded(tls)
        require = tls.verify_incoming or tls.verify_incoming_https
        self.credentials = grpc.dynamic_ssl_server_credentials(self._current, self._latest, require)

    def reload(self, tls: TlsConfig) -> None:
        """Errors: ListenError, nothing changed."""
        self._current = _loaded(tls)

    def _latest(self) -> grpc.ServerCertificateConfiguration:
        return self._current


def _loaded(tls: TlsConfig) -> grpc.ServerCertificateConfiguration:
    server_context(tls)
    pair = (Path(tls.key_file).read_bytes(), Path(tls.cert_file).read_bytes())
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=_authorities(tls))


def _authorities(tls: TlsConfig) -> bytes | None:
    if tls.ca_file:
        return Path(tls.ca_file).read_bytes()
    if tls.ca_path:
        return b"\n".join(file.read_bytes() for file in sorted(Path(tls.ca_path).iterdir()) if file.is_file())
    return None
