"""Certificates, keys and authorities as text: reading them, and refusing them in Consul's words.

Everything is read once, when the configuration is taken over; contexts are made of the texts later, so that files that
change meanwhile change nothing before a reload.
"""

from __future__ import annotations

import os
import re
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CERTIFICATE = "CERTIFICATE"
PRIVATE_KEY = "PRIVATE KEY"
AGENT_PAIR = "Failed to load cert/key pair: "
_BLOCK = re.compile(r"-----BEGIN ([^-\n]+)-----.*?-----END \1-----", re.DOTALL)
_MISMATCHES = {
    "KEY_VALUES_MISMATCH": "tls: private key does not match public key",
    "KEY_TYPE_MISMATCH": "tls: private key type does not match public key type",
}


class TlsError(ValueError):
    """TLS settings that cannot work; the text is what Consul says."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate with its chain and its private key, as PEM."""

    certificate: str
    private_key: str


@dataclass(frozen=True, slots=True)
class Authorities:
    """Whom to trust: the texts as they were read, and the certificates in them as PEM."""

    texts: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.certificates)

    def __add__(self, other: Authorities) -> Authorities:
        return Authorities(self.texts + other.texts, self.certificates + other.certificates)

    @property
    def pem(self) -> str:
        """All certificates in one text."""
        return "\n".join(self.certificates)


def read_authorities(ca_file: str, ca_path: str) -> Authorities:
    """What `ca_file`, or else all files below `ca_path`, hold. Errors: TlsError."""
    if ca_file:
        return parse_authorities([_read_authority(Path(ca_file))])
    if not ca_path:
        return Authorities()
    if not os.path.lexists(ca_path):
        raise TlsError(f"lstat {ca_path}: no such file or directory")
    texts = [_read_authority(path) for path in files_below(Path(ca_path))]
    if not texts:
        raise TlsError("Error loading from CAPath: no CAs found")
    return parse_authorities(texts)


def parse_authorities(texts: list[str]) -> Authorities:
    """Errors: TlsError for a text without a single certificate."""
    found: list[str] = []
    for text in texts:
        good = certificates_in(text)
        if not good:
            raise TlsError(f"Couldn't parse PEM {text}")
        found += good
    return Authorities(tuple(texts), tuple(found))


def certificates_in(text: str) -> list[str]:
    """The well-formed certificates of a text, as PEM."""
    return [block for kind, block in _blocks(text) if kind == CERTIFICATE and _is_certificate(block)]


def read_key_pair(cert_file: str, key_file: str, before: str = AGENT_PAIR) -> KeyPair | None:
    """None unless both are named. Errors: TlsError, whose text begins with `before`."""
    if not cert_file or not key_file:
        return None
    try:
        return parse_key_pair(_read(Path(cert_file)), _read(Path(key_file)), before)
    except OSError as error:
        raise TlsError(before + _open_fault(error)) from None


def parse_key_pair(certificate: str, private_key: str, before: str = AGENT_PAIR) -> KeyPair:
    """Errors: TlsError when they are none, or not of each other."""
    if fault := _certificate_fault(certificate) or _key_fault(private_key):
        raise TlsError(before + fault)
    pair = KeyPair(certificate, private_key)
    try:
        load_key_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pair)
    except ssl.SSLError as error:
        fault = _MISMATCHES.get(error.reason or "", "tls: failed to parse private key")
        raise TlsError(before + fault) from None
    return pair


def load_key_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Gives the pair to a context, which takes files only. Errors: ssl.SSLError."""
    with _unnamed_file(f"{pair.private_key}\n{pair.certificate}") as path:
        context.load_cert_chain(path, password=b"")


@contextmanager
def _unnamed_file(content: str) -> Iterator[str]:
    """A path to the content that nobody else can open: private keys do not go to a disk."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("key-pair")
        try:
            os.write(descriptor, content.encode())
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(content.encode())
        file.flush()
        yield file.name


def _blocks(text: str) -> list[tuple[str, str]]:
    return [(found.group(1), found.group()) for found in _BLOCK.finditer(text)]


def _is_certificate(block: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=block)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _certificate_fault(text: str) -> str:
    kinds = [kind for kind, _ in _blocks(text)]
    if CERTIFICATE in kinds:
        return ""
    if not kinds:
        return "tls: failed to find any PEM data in certificate input"
    if len(kinds) == 1 and kinds[0].endswith(PRIVATE_KEY):
        return (
            "tls: failed to find certificate PEM data in certificate input, but did find a private key;"
            " PEM inputs may have been switched"
        )
    return (
        'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the following'
        f" types: [{' '.join(kinds)}]"
    )


def _key_fault(text: str) -> str:
    kinds = [kind for kind, _ in _blocks(text)]
    if any(kind.endswith(PRIVATE_KEY) for kind in kinds):
        return ""
    if not kinds:
        return "tls: failed to find any PEM data in key input"
    if kinds == [CERTIFICATE]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    return (
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the'
        f" following types: [{' '.join(kinds)}]"
    )


def _read_authority(path: Path) -> str:
    try:
        return _read(path)
    except OSError as error:
        raise TlsError(f"Error loading from {path}: {_open_fault(error)}") from None


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def files_below(folder: Path) -> list[Path]:
    """All files of a tree, in the order of their names."""
    if not folder.is_dir():
        return [folder]
    return [file for entry in sorted(folder.iterdir()) for file in files_below(entry)]


def _open_fault(error: OSError) -> str:
    operation = "read" if isinstance(error, IsADirectoryError) else "open"
    return f"{operation} {error.filename}: {os.strerror(error.errno or 0).lower()}"
