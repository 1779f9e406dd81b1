"""Keys and certificates of the built-in provider: roots, cross-signed roots, leaves (Consul 1.7: agent/connect/ca)."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lictor.connect.spiffe import AgentIdentity, ServiceIdentity, SigningIdentity, SpiffeError, parse_identity
from lictor.state.gotext import quote
from lictor.state.rows import CARoot

SECOND_NS = 1_000_000_000
NO_PEM = "no PEM-encoded data found"
ROOT_LIFETIME_YEARS = 10
CROSS_SIGNED_LIFETIME = timedelta(days=7)
"""Longer than a leaf of the default lifetime lives on after a rotation."""
BACKDATED = timedelta(minutes=1)
"""Certificates are valid from a little before now, for hosts whose clocks are behind."""
COMMON_NAME_MAX = 64
"""RFC 5280, ub-common-name-length."""
UID_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
UID_LENGTH = 7
REMEMBERED_KEYS = 16

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_CURVES: dict[int, ec.EllipticCurve] = {
    224: ec.SECP224R1(),
    256: ec.SECP256R1(),
    384: ec.SECP384R1(),
    521: ec.SECP521R1(),
}


class CertificateError(ValueError):
    """A key, certificate or signing request that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A parsed and verified certificate signing request."""

    identity: ServiceIdentity | AgentIdentity
    csr: x509.CertificateSigningRequest

    def dns_names(self) -> list[str]:
        """The DNS names that are asked for."""
        names = self.csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names.get_values_for_type(x509.DNSName)


@dataclass(frozen=True, slots=True)
class IssuedLeaf:
    """A leaf certificate. Times in nanoseconds since 1970."""

    serial: str
    certificate: str
    subject: str
    """The service, or the agent."""
    uri: str
    not_before_ns: int
    not_after_ns: int


# ---------------------------------------------------------------------------------------------------------- keys


def new_private_key(kind: str = "ec", bits: int = 256) -> str:
    """A new key as PEM."""
    key: PrivateKey
    key = ec.generate_private_key(_CURVES[bits]) if kind == "ec" else rsa.generate_private_key(65537, bits)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


@lru_cache(maxsize=REMEMBERED_KEYS)
def parse_private_key(pem: str) -> PrivateKey:
    """Errors: CertificateError."""
    if "-----BEGIN " not in pem:
        raise CertificateError(f"error parsing private key {quote(pem)}: {NO_PEM}")
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"not a private key in PEM: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError("private key is neither EC nor RSA")
    return key


@lru_cache(maxsize=REMEMBERED_KEYS)
def parse_certificate(pem: str) -> x509.Certificate:
    """The first certificate of a PEM text. Errors: CertificateError."""
    if "-----BEGIN " not in pem:
        raise CertificateError(NO_PEM)
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise CertificateError(f"not a certificate in PEM: {error}") from None


def public_key_info(key: object) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return encoded


def key_id(public_key: object) -> bytes:
    """SHA-256 of the subject public key info."""
    return hashlib.sha256(public_key_info(public_key)).digest()


def hash_for(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    if isinstance(key, rsa.RSAPrivateKey) or key.key_size <= 256:
        return hashes.SHA256()
    return hashes.SHA384() if key.key_size <= 384 else hashes.SHA512()


# --------------------------------------------------------------------------------------------------------- roots


def new_root(private_key: str, cluster_id: str, serial: int, now_ns: int) -> str:
    """A self-signed root of a cluster, as PEM. Errors: CertificateError for the key."""
    key = parse_private_key(private_key)
    identity = SigningIdentity(cluster_id)
    name = authority_name("pri", cluster_id)
    now = to_time(now_ns)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now)
        .not_valid_after(now.replace(year=now.year + ROOT_LIFETIME_YEARS, day=min(now.day, 28)))
        .add_extension(authority_usage(), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(key_id(key.public_key())), critical=False)
        .add_extension(authority_key_id(key), critical=False)
        .add_extension(uri_name(identity.uri), critical=False)
    )
    return to_pem(builder.sign(key, hash_for(key)))


def authority_name(role: str, cluster_id: str) -> x509.Name:
    """A new name of an authority: `pri` signs for the cluster, `sec` for a secondary datacenter."""
    uid = "".join(secrets.choice(UID_DIGITS) for _ in range(UID_LENGTH))
    return common_name(f"{role}-{uid}.consul.ca.{SigningIdentity(cluster_id).host[:8]}.consul")


def check_root(root_cert: str, private_key: str) -> None:
    """Whether an operator's root can sign with the key. Errors: CertificateError."""
    certificate, key = parse_certificate(root_cert), parse_private_key(private_key)
    if public_key_info(certificate.public_key()) != public_key_info(key.public_key()):
        raise CertificateError("the private key is not that of the root certificate")
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = None
    if constraints is None or not constraints.ca:
        raise CertificateError("the root certificate is not that of a certificate authority")


def root_row(root_cert: str, provider: str, cluster_id: str) -> CARoot:
    """An active root as the state keeps it. Errors: CertificateError."""
    certificate = parse_certificate(root_cert)
    public_key = certificate.public_key()
    try:
        subject_key = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        subject_key = key_id(public_key)
    if not isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise CertificateError("the root certificate's key is neither EC nor RSA")
    return CARoot(
        id=fingerprint(certificate),
        name=f"{provider.title()} CA Root Cert",
        serial_number=certificate.serial_number & (1 << 64) - 1,
        signing_key_id=subject_key.hex(":"),
        external_trust_domain=cluster_id,
        not_before_ns=_ns(certificate.not_valid_before_utc),
        not_after_ns=_ns(certificate.not_valid_after_utc),
        root_cert=root_cert,
        intermediate_certs=None,
        signing_cert="",
        signing_key="",
        active=True,
        rotated_out_at_ns=None,
        private_key_type="ec" if isinstance(public_key, ec.EllipticCurvePublicKey) else "rsa",
        private_key_bits=public_key.key_size,
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-1 of the certificate, hexadecimal with colons: a root's ID."""
    return hashlib.sha1(certificate.public_bytes(Encoding.DER), usedforsecurity=False).digest().hex(":")


def cross_sign(new_root_cert: str, old_root_cert: str, old_private_key: str, serial: int, now_ns: int) -> str:
    """The new root signed by the old one: who trusts only the old root trusts it too. Errors: CertificateError."""
    new, old, key = (
        parse_certificate(new_root_cert),
        parse_certificate(old_root_cert),
        parse_private_key(old_private_key),
    )
    valid_from = to_time(now_ns) - BACKDATED
    builder = (
        x509.CertificateBuilder()
        .subject_name(new.subject)
        .issuer_name(old.subject)
        .public_key(new.public_key())
        .serial_number(serial)
        .not_valid_before(valid_from)
        .not_valid_after(valid_from + CROSS_SIGNED_LIFETIME)
    )
    for extension in new.extensions:
        if not isinstance(extension.value, x509.AuthorityKeyIdentifier):
            builder = builder.add_extension(extension.value, extension.critical)
    builder = builder.add_extension(authority_key_id(key), critical=False)
    return to_pem(builder.sign(key, hash_for(key)))


# -------------------------------------------------------------------------------------------------------- leaves


def new_signing_request(
    private_key: str,
    identity: ServiceIdentity | AgentIdentity,
    dns_names: Iterable[str] = (),
    addresses: Iterable[str] = (),
) -> str:
    """A certificate signing request as PEM; `addresses` are literal IPs."""
    key = parse_private_key(private_key)
    names: list[x509.GeneralName] = [
        *(x509.DNSName(name) for name in dns_names),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
        x509.UniformResourceIdentifier(identity.uri),
    ]
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(common_name(subject_of(identity)))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    return builder.sign(key, hash_for(key)).public_bytes(Encoding.PEM).decode()


def parse_signing_request(pem: str) -> SigningRequest:
    """Errors: CertificateError when it is malformed, not signed by its key, or not for exactly one service or agent."""
    try:
        csr = x509.load_pem_x509_csr(pem.encode())
        valid = csr.is_signature_valid
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise CertificateError("CSR has no SPIFFE ID") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"not a certificate signing request in PEM: {error}") from None
    if not valid:
        raise CertificateError("CSR signature is not valid")
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise CertificateError(f"CSR has {len(uris)} SPIFFE IDs, wanted 1")
    try:
        identity = parse_identity(uris[0])
    except SpiffeError as error:
        raise CertificateError(str(error)) from None
    if not isinstance(identity, ServiceIdentity | AgentIdentity):
        raise CertificateError("SPIFFE ID in CSR must be a service or agent ID")
    return SigningRequest(identity, csr)


def sign_leaf(
    request: SigningRequest, root_cert: str, private_key: str, serial: int, lifetime_ns: int, now_ns: int
) -> IssuedLeaf:
    """A service's or an agent's certificate, signed by the root; an agent's has the names it asked for.

    Errors: CertificateError for the root or its key.
    """
    root, key = parse_certificate(root_cert), parse_private_key(private_key)
    valid_from = to_time(now_ns) - BACKDATED
    valid_to = min(valid_from + timedelta(microseconds=lifetime_ns // 1000), root.not_valid_after_utc)
    public_key = request.csr.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(common_name(subject_of(request.identity)))
        .issuer_name(root.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(valid_from)
        .not_valid_after(valid_to)
        .add_extension(_leaf_usage(), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(key_id(public_key)), critical=False)
        .add_extension(authority_key_id(key), critical=False)
        .add_extension(_names(request), critical=False)
    )
    return IssuedLeaf(
        serial=_serial_text(serial),
        certificate=to_pem(builder.sign(key, hash_for(key))),
        subject=request.identity.agent if isinstance(request.identity, AgentIdentity) else request.identity.service,
        uri=request.identity.uri,
        not_before_ns=_ns(valid_from),
        not_after_ns=_ns(valid_to),
    )


def with_chain(leaf: IssuedLeaf, intermediates: Iterable[str]) -> IssuedLeaf:
    """The leaf followed by further certificates in one PEM text."""
    return replace(leaf, certificate="".join([leaf.certificate, *intermediates]))


def subject_of(identity: ServiceIdentity | AgentIdentity) -> str:
    """The common name of a leaf's certificate."""
    return agent_common_name(identity) if isinstance(identity, AgentIdentity) else service_common_name(identity)


def agent_common_name(identity: AgentIdentity) -> str:
    """`<node>.agnt.<first of the trust domain>.consul`, the node cut so that it fits."""
    rest = f".agnt.{identity.host[:8]}.consul"
    safe = re.sub(r"[^a-z0-9]", "", identity.agent.lower())
    return safe[: COMMON_NAME_MAX - len(rest)] + rest


def service_common_name(identity: ServiceIdentity) -> str:
    """`<service>.svc.<namespace>.<first of the trust domain>.consul`, the service cut so that it fits."""
    rest = f".svc.{identity.namespace[:20]}.{identity.host[:8]}.consul"
    safe = re.sub(r"[^A-Za-z0-9-]", "", identity.service).lower()
    return safe[: COMMON_NAME_MAX - len(rest)] + rest


# -------------------------------------------------------------------------------------------------------- pieces


def authority_key_id(key: PrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier(key_id(key.public_key()), None, None)


def uri_name(uri: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])


def _names(request: SigningRequest) -> x509.SubjectAlternativeName:
    """A service has its URI alone, an agent what it asked for as well."""
    if isinstance(request.identity, ServiceIdentity):
        return uri_name(request.identity.uri)
    asked = request.csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names: list[x509.GeneralName] = [
        *(x509.DNSName(name) for name in asked.get_values_for_type(x509.DNSName)),
        *(x509.IPAddress(address) for address in asked.get_values_for_type(x509.IPAddress)),
    ]
    return x509.SubjectAlternativeName([*names, x509.UniformResourceIdentifier(request.identity.uri)])


def _usage(signing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not signing,
        data_encipherment=not signing,
        key_agreement=not signing,
        key_cert_sign=signing,
        crl_sign=signing,
        encipher_only=False,
        decipher_only=False,
    )


def authority_usage() -> x509.KeyUsage:
    return _usage(signing=True)


def _leaf_usage() -> x509.KeyUsage:
    return _usage(signing=False)


def common_name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def to_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def to_time(now_ns: int) -> datetime:
    """Whole seconds: certificates hold no fractions."""
    return datetime.fromtimestamp(now_ns // SECOND_NS, UTC)


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * SECOND_NS


def _serial_text(serial: int) -> str:
    return serial.to_bytes((serial.bit_length() + 7) // 8, "big").hex(":")
