"""TLS of the public gRPC port: the certificate and the authorities of HTTPS, taken anew on reload.

Versions and cipher suites are gRPC's own: TLS 1.2 or newer.
"""

from __future__ import annotations

import grpc

from lictor.tls.configurator import Configurator
from lictor.tls.material import KeyPair


class Certificates:
    """The server's credentials, whose certificate may change while it serves."""

    def __init__(self, configurator: Configurator, pair: KeyPair) -> None:
        """`pair`: what the port shows."""
        self._configurator = configurator
        self._current = self._made(pair)
        self.credentials = grpc.dynamic_ssl_server_credentials(
            self._current, self._latest, configurator.verify_incoming_https
        )

    def reload(self) -> None:
        """Takes over what the configurator has now."""
        pair = self._configurator.server_pair()
        if pair is not None:
            self._current = self._made(pair)

    def _latest(self) -> grpc.ServerCertificateConfiguration:
        return self._current

    def _made(self, pair: KeyPair) -> grpc.ServerCertificateConfiguration:
        chain = (pair.private_key.encode(), pair.certificate.encode())
        roots = self._configurator.authorities()
        return grpc.ssl_server_certificate_configuration([chain], roots.pem.encode() if roots else None)
