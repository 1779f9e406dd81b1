"""Why a connection failed, in the words of Go's TLS and of its certificates: those that Consul's users know."""

from __future__ import annotations

import os
import socket
import ssl

_UNTRUSTED = (2, 18, 19, 20, 21, 24)
_EXPIRED = (9, 10)
_WRONG_PURPOSE = (26,)
_WRONG_NAME = (62, 64)
_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "tls: client didn't provide a certificate",
    "NO_SHARED_CIPHER": "tls: no cipher suite supported by both client and server",
    "UNSUPPORTED_PROTOCOL": "tls: client offered only unsupported versions",
    "WRONG_VERSION_NUMBER": "tls: first record does not look like a TLS handshake",
    "HTTP_REQUEST": "tls: first record does not look like a TLS handshake",
}
_ALERTS = {
    "UNKNOWN_CA": "unknown certificate authority",
    "BAD_CERTIFICATE": "bad certificate",
    "CERTIFICATE_EXPIRED": "expired certificate",
    "CERTIFICATE_REQUIRED": "certificate required",
    "HANDSHAKE_FAILURE": "handshake failure",
    "PROTOCOL_VERSION": "protocol version not supported",
    "INTERNAL_ERROR": "internal error",
}
_ALERT_MARK = "_ALERT_"


def described(error: BaseException) -> str:
    """The failure of a connection or a handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _verification(error)
    if isinstance(error, ssl.SSLError):
        return _handshake(error)
    if isinstance(error, TimeoutError | ConnectionAbortedError):
        return "i/o timeout"
    if isinstance(error, socket.gaierror):
        return f"lookup: {error.strerror}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or "EOF"


def _verification(error: ssl.SSLCertVerificationError) -> str:
    code = error.verify_code
    if code in _UNTRUSTED:
        return "x509: certificate signed by unknown authority"
    if code in _EXPIRED:
        return "x509: certificate has expired or is not yet valid"
    if code in _WRONG_PURPOSE:
        return "x509: certificate specifies an incompatible key usage"
    if code in _WRONG_NAME:
        wanted = error.verify_message.rpartition(" for ")[2].strip("'.")
        return f"x509: certificate is not valid for {wanted}"
    return f"x509: {error.verify_message}"


def _handshake(error: ssl.SSLError) -> str:
    reason = error.reason or ""
    if known := _REASONS.get(reason):
        return known
    if _ALERT_MARK in reason:
        alert = reason.partition(_ALERT_MARK)[2]
        return f"remote error: tls: {_ALERTS.get(alert, alert.lower().replace('_', ' '))}"
    return f"tls: {reason or error}"
