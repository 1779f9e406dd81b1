"""The command line's TLS: what its files hold, and what is wrong with a certificate, in Consul's client's words."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from pathlib import Path

from lictor.tls.material import TlsError, certificates_in, files_below, load_key_pair, read_key_pair


class TlsSettings:
    """The contents of the named files. Errors: TlsError."""

    def __init__(self, ca_file: str = "", ca_path: str = "", cert_file: str = "", key_file: str = "") -> None:
        self._pair = read_key_pair(cert_file, key_file, before="")
        self._only_named = bool(ca_file or ca_path)
        self._authorities = _authorities(ca_file, ca_path)

    def context(self, verify: bool) -> ssl.SSLContext:
        """For connections to the agent; without named authorities the system's are trusted."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if not self._only_named:
            context.load_default_certs()
        elif self._authorities:
            context.load_verify_locations(cadata="\n".join(self._authorities))
        if self._pair is not None:
            load_key_pair(context, self._pair)
        context.set_alpn_protocols(["http/1.1"])
        return context


def _authorities(ca_file: str, ca_path: str) -> list[str]:
    if ca_file:
        return _certificates(Path(ca_file), "Error loading CA File: ", "Error loading CA File: ")
    if not ca_path:
        return []
    if not os.path.lexists(ca_path):
        raise TlsError(f"lstat {ca_path}: no such file or directory")
    found: list[str] = []
    for path in files_below(Path(ca_path)):
        found += _certificates(path, "Error loading file from CAPath: ", "Error loading CA Path: ")
    return found


def _certificates(path: Path, unreadable: str, malformed: str) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise TlsError(f"{unreadable}open {path}: {(error.strerror or '').lower()}") from None
    found = certificates_in(text)
    if not found:
        raise TlsError(f"{malformed}Couldn't parse PEM in: {path}")
    return found


def name_fault(context: ssl.SSLContext, host: str, port: int, wanted: str, timeout_s: float) -> str:
    """What is wrong with the name in the certificate that a server shows; "" when nothing is, or it cannot be seen.

    `context` verifies nothing.
    """
    # Only wanted after a failure, and large.
    from cryptography import x509

    try:
        with socket.create_connection((host, port), timeout_s) as plain, context.wrap_socket(plain) as secured:
            certificate = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return ""
    try:
        address = ipaddress.ip_address(wanted)
    except ValueError:
        known = names.get_values_for_type(x509.DNSName)
        if any(_matches(wanted.lower(), name.lower()) for name in known):
            return ""
        if not known:
            return f"x509: certificate is not valid for any names, but wanted to match {wanted}"
    else:
        addresses = names.get_values_for_type(x509.IPAddress)
        if address in addresses:
            return ""
        if not addresses:
            return f"x509: cannot validate certificate for {wanted} because it doesn't contain any IP SANs"
        known = [str(each) for each in addresses]
    return f"x509: certificate is valid for {', '.join(known)}, not {wanted}"


def _matches(wanted: str, name: str) -> bool:
    """RFC 6125 6.4.3: an asterisk stands for the first label."""
    if name.startswith("*."):
        return wanted.partition(".")[2] == name[2:]
    return wanted == name
