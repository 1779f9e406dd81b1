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
    """Minimum version, suites and whose order of them wins."""
    with warnings.catch_warnings():
        # That these versions are old is known to who asks for them.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = VERSIONS.get(tls.min_version, ssl.TLSVersion.TLSv1)
    level = "@SECLEVEL=0" if tls.min_version in OLD_VERSIONS else ""
    names = [CIPHER_SUITES[name].openssl for name in tls.cipher_suites if CIPHER_SUITES[name].openssl in _available()]
    if names or level:
        context.set_ciphers(":".join([*(names or ["DEFAULT"]), *([level] if level else [])]))
    if tls.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
