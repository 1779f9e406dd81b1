"""Versions and cipher suites in OpenSSL's terms."""

from __future__ import annotations

import ssl
import warnings
from functools import cache

from lictor.config.ciphers import CIPHER_SUITES
from lictor.config.runtime import TlsConfig

VERSIONS = {
    "tls10": ssl.TLSVersion.TLSv1,
    "tls11": ssl.TLSVersion.TLSv1_1,
    "tls12": ssl.TLSVersion.TLSv1_2,
    "tls13": ssl.TLSVersion.TLSv1_3,
}
PREFERENCE = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_RC4_128_SHA",
)
"""All suites, the best first (Go: crypto/tls, cipherSuitesPreferenceOrder)."""
DEFAULT_SUITES = PREFERENCE[:14]
"""Go's, without those of three keys, which few systems' OpenSSL has."""
OLD_VERSIONS = ("", "tls10", "tls11")
"""Without a version Go begins at TLS 1.0. OpenSSL refuses these versions' signatures at its usual level."""


@cache
def _available() -> frozenset[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")
    return frozenset(str(cipher["name"]) for cipher in context.get_ciphers())


def missing_suites(tls: TlsConfig) -> list[str]:
    """Configured suites that this OpenSSL was built without: the weak ones."""
    return [name for name in tls.cipher_suites if CIPHER_SUITES[name].openssl not in _available()]


def apply_suites(context: ssl.SSLContext, tls: TlsConfig) -> None:
    """Minimum version and suites. Of those that both sides have the first in Go's order wins, with or without
    `tls_prefer_server_cipher_suites`, as in the Go that Consul is built with."""
    with warnings.catch_warnings():
        # That these versions are old is known to who asks for them.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = VERSIONS.get(tls.min_version, ssl.TLSVersion.TLSv1)
    wanted = set(tls.cipher_suites or DEFAULT_SUITES)
    names = [CIPHER_SUITES[name].openssl for name in PREFERENCE if name in wanted]
    names += ["@SECLEVEL=0"] if tls.min_version in OLD_VERSIONS else []
    context.set_ciphers(":".join(names))
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
