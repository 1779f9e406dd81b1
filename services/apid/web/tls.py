"""The TLS settings of the HTTPS listener, in OpenSSL's terms (Consul 1.7: tlsutil, IncomingHTTPSConfig)."""

from __future__ import annotations

import os
import ssl
from functools import cache

from apid.web.listeners import ListenError
from lictor.config.ciphers import CIPHER_SUITES
from lictor.config.runtime import TlsConfig

VERSIONS = {
    "tls10": ssl.TLSVersion.TLSv1,
    "tls11": ssl.TLSVersion.TLSv1_1,
    "tls12": ssl.TLSVersion.TLSv1_2,
    "tls13": ssl.TLSVersion.TLSv1_3,
}


def server_context(tls: TlsConfig) -> ssl.SSLContext:
    """The context of the HTTPS listener. Errors: ListenError naming the setting that is wrong.

    Without a certificate it listens all the same, as Consul does, and no handshake succeeds.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    version = VERSIONS.get(tls.min_version)
    if version is None:
        raise _refusal(f"tls_min_version {tls.min_version} is none of {', '.join(VERSIONS)}")
    context.minimum_version = version
    context.set_alpn_protocols(["http/1.1"])
    # Consul reaches back to these versions when told to; OpenSSL refuses their signatures at its usual level.
    if tls.min_version in ("tls10", "tls11"):
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    if tls.cipher_suites:
        context.set_ciphers(":".join(_cipher(name) for name in tls.cipher_suites))
    if tls.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    load_files(context, tls)
    return context


def reload_files(context: ssl.SSLContext, tls: TlsConfig) -> None:
    """Takes certificate, key and authorities anew for further connections. Errors: ListenError, nothing changed."""
    server_context(tls)
    load_files(context, tls)


def load_files(context: ssl.SSLContext, tls: TlsConfig) -> None:
    """Errors: ListenError."""
    if tls.cert_file and tls.key_file:
        _load_certificate(context, tls)
    verified = tls.verify_incoming or tls.verify_incoming_https
    if verified and not (tls.ca_file or tls.ca_path):
        raise _refusal("VerifyIncoming set, and no CA certificate provided!")
    if verified and not (tls.cert_file and tls.key_file):
        raise _refusal("VerifyIncoming set, and no Cert/Key pair provided!")
    try:
        if tls.ca_file or tls.ca_path:
            context.load_verify_locations(tls.ca_file or None, tls.ca_path or None)
    except (OSError, ssl.SSLError) as error:
        raise _refusal(f"cannot use ca_file {tls.ca_file or tls.ca_path}: {_reason(error)}") from None
    context.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE


def _load_certificate(context: ssl.SSLContext, tls: TlsConfig) -> None:
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        raise _refusal(f"cannot use cert_file {tls.cert_file} with key_file {tls.key_file}: {_reason(error)}") from None


@cache
def _cipher_numbers() -> dict[str, int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")
    return {str(cipher["name"]): int(cipher["id"]) & 0xFFFF for cipher in context.get_ciphers()}


def cipher_number(name: str) -> int:
    """The number that IANA gave a suite of `tls_cipher_suites`. Errors: ListenError."""
    return _cipher_numbers().get(_cipher(name), 0)


def _cipher(name: str) -> str:
    found = CIPHER_SUITES.get(name)
    if found is None:
        raise _refusal(f"unsupported cipher {name!r} in tls_cipher_suites")
    return found


def _refusal(text: str) -> ListenError:
    return ListenError(f"Error starting agent: {text}")


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return os.strerror(error.errno or 0).lower()
