"""Intermediate authorities: what signs leaves in a secondary datacenter, itself signed by the primary one's root
(Consul 1.7: agent/connect/ca, GenerateIntermediateCSR, SignIntermediate, SetIntermediate)."""

from __future__ import annotations

from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from lictor.connect.certificates import (
    BACKDATED,
    NO_PEM,
    CertificateError,
    authority_key_id,
    authority_name,
    authority_usage,
    hash_for,
    key_id,
    parse_certificate,
    parse_private_key,
    public_key_info,
    to_pem,
    to_time,
    uri_name,
)
from lictor.connect.spiffe import SigningIdentity, SpiffeError, parse_identity
from lictor.state.gotext import quote

SECOND_NS = 1_000_000_000


def new_authority_request(private_key: str, cluster_id: str) -> str:
    """A signing request for an authority of the cluster, as PEM. Errors: CertificateError for the key."""
    key = parse_private_key(private_key)
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(authority_name("sec", cluster_id))
        .add_extension(uri_name(SigningIdentity(cluster_id).uri), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return builder.sign(key, hash_for(key)).public_bytes(Encoding.PEM).decode()


def sign_authority(
    request: str, root_cert: str, private_key: str, cluster_id: str, serial: int, lifetime_ns: int, now_ns: int
) -> str:
    """The authority's certificate, as PEM: it may sign leaves and nothing else.

    Errors: CertificateError for the request (malformed, of another trust domain), the root or its key.
    """
    csr = _parse_request(request)
    _check_domain(csr, SigningIdentity(cluster_id))
    root, key = parse_certificate(root_cert), parse_private_key(private_key)
    valid_from = to_time(now_ns) - BACKDATED
    valid_to = min(valid_from + timedelta(microseconds=lifetime_ns // 1000), root.not_valid_after_utc)
    public_key = csr.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(csr.subject)
        .issuer_name(root.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(valid_from)
        .not_valid_after(valid_to)
        .add_extension(authority_usage(), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(key_id(public_key)), critical=False)
        .add_extension(authority_key_id(key), critical=False)
    )
    for uri in _uris(csr):
        builder = builder.add_extension(uri_name(uri), critical=False)
    return to_pem(builder.sign(key, hash_for(key)))


def check_authority(certificate: str, root_cert: str, private_key: str, cluster_id: str) -> None:
    """Whether an authority's certificate is for the key and the cluster and signed by the root.

    Errors: CertificateError.
    """
    own, root, key = parse_certificate(certificate), parse_certificate(root_cert), parse_private_key(private_key)
    if public_key_info(own.public_key()) != public_key_info(key.public_key()):
        raise CertificateError("intermediate cert is for a different private key")
    try:
        is_authority = own.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if not is_authority:
        raise CertificateError("intermediate is not a CA certificate")
    uris = _uris(own)
    if len(uris) != 1:
        raise CertificateError(f"incoming intermediate cert has unexpected number of URIs: {len(uris)}")
    wanted = SigningIdentity(cluster_id).uri
    if uris[0] != wanted:
        raise CertificateError(f"incoming cert URI {quote(uris[0])} does not match current URI: {quote(wanted)}")
    try:
        own.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise CertificateError(f"could not verify intermediate cert against root: {error}") from None


def signing_key_id(certificate: str) -> str:
    """The subject key ID of an authority's certificate, as roots show it. Errors: CertificateError."""
    parsed = parse_certificate(certificate)
    try:
        digest = parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        digest = key_id(parsed.public_key())
    return digest.hex(":")


def half_over(certificate: str, now_ns: int) -> bool:
    """Whether more than half of a certificate's life has passed. Errors: CertificateError."""
    parsed = parse_certificate(certificate)
    begin, end = parsed.not_valid_before_utc, parsed.not_valid_after_utc
    return to_time(now_ns) >= begin + (end - begin) / 2


def _parse_request(pem: str) -> x509.CertificateSigningRequest:
    if "-----BEGIN " not in pem:
        raise CertificateError(NO_PEM)
    if "-----BEGIN CERTIFICATE REQUEST-----" not in pem:
        raise CertificateError("first PEM-block should be CERTIFICATE REQUEST type")
    try:
        csr = x509.load_pem_x509_csr(pem.encode())
        valid = csr.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"not a certificate signing request in PEM: {error}") from None
    if not valid:
        raise CertificateError("CSR signature is not valid")
    return csr


def _check_domain(csr: x509.CertificateSigningRequest, signing: SigningIdentity) -> None:
    """A request need not name a trust domain, but not another one."""
    uris = _uris(csr)
    if len(uris) > 1:
        raise CertificateError(f"incoming CSR has unexpected number of URIs: {len(uris)}")
    for uri in uris:
        try:
            identity = parse_identity(uri)
        except SpiffeError as error:
            raise CertificateError(str(error)) from None
        if not signing.may_sign(identity):
            raise CertificateError(
                f"incoming CSR domain {quote(identity.uri)} is not valid for our domain {quote(signing.uri)}"
            )


def _uris(signed: x509.Certificate | x509.CertificateSigningRequest) -> list[str]:
    try:
        names = signed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)
