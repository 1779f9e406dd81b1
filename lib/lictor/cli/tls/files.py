"""Making certificates and writing them to files that do not exist yet."""

from __future__ import annotations

import datetime
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lictor.cli.call import CommandError


def new_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def validity(days: int) -> tuple[datetime.datetime, datetime.datetime]:
    """From now for so many days."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    return now, now + datetime.timedelta(days=days)


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key in the form openssl calls EC PRIVATE KEY."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def pem_of(certificate: x509.Certificate) -> bytes:
    """The certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_identifier(key: ec.EllipticCurvePublicKey) -> bytes:
    """The SHA-256 of the public key, as Consul identifies keys."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize()


def write_new(path: str, content: bytes) -> None:
    """Write a file. Raises CommandError when it exists already or cannot be written."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        raise CommandError(f"{path} already exists.") from None
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def read(path: str, what: str) -> bytes:
    """Read a file. Raises CommandError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CommandError(f"Error reading {what}: open {path}: {(error.strerror or str(error)).lower()}") from None
