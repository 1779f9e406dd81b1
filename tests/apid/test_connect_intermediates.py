"""Intermediate authorities: what a secondary datacenter asks for, what the primary one signs, what is taken."""

import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lictor.connect import certificates, intermediates
from lictor.connect.provider_config import HOUR_NS, parse_provider_config
from lictor.connect.spiffe import ServiceIdentity

CLUSTER = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
YEAR_NS = 365 * 24 * HOUR_NS
NOW_NS = time.time_ns()


def root_and_key(cluster_id: str = CLUSTER) -> tuple[str, str]:
    key = certificates.new_private_key()
    return certificates.new_root(key, cluster_id, 7, NOW_NS), key


def signed(root: str, root_key: str, own_key: str, now_ns: int = NOW_NS) -> str:
    request = intermediates.new_authority_request(own_key, CLUSTER)
    return intermediates.sign_authority(request, root, root_key, CLUSTER, 8, YEAR_NS, now_ns)


@pytest.mark.parametrize(("kind", "bits"), [("ec", 256), ("ec", 521), ("rsa", 2048)])
def test_an_intermediate_signs_leaves_that_verify_up_to_the_root(kind: str, bits: int) -> None:
    root, root_key = root_and_key()
    key = certificates.new_private_key(kind, bits)
    certificate = signed(root, root_key, key)
    intermediates.check_authority(certificate, root, key, CLUSTER)
    identity = ServiceIdentity(f"{CLUSTER}.consul", "default", "sh", "web")
    request = certificates.parse_signing_request(
        certificates.new_signing_request(certificates.new_private_key(), identity)
    )
    leaf = certificates.sign_leaf(request, certificate, key, 9, HOUR_NS, NOW_NS)
    parsed = x509.load_pem_x509_certificate(certificate.encode())
    x509.load_pem_x509_certificate(leaf.certificate.encode()).verify_directly_issued_by(parsed)
    parsed.verify_directly_issued_by(x509.load_pem_x509_certificate(root.encode()))


def test_an_intermediate_may_sign_leaves_only_and_for_its_trust_domain() -> None:
    root, root_key = root_and_key()
    key = certificates.new_private_key()
    parsed = x509.load_pem_x509_certificate(signed(root, root_key, key).encode())
    constraints = parsed.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.ca, constraints.value.path_length, constraints.critical) == (True, 0, True)
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"spiffe://{CLUSTER}.consul"]
    (attribute,) = parsed.subject
    assert str(attribute.value).startswith("sec-") and str(attribute.value).endswith(".consul.ca.11111111.consul")
    assert parsed.not_valid_after_utc - parsed.not_valid_before_utc == certificates.timedelta(days=365)
    authority = parsed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority.key_identifier == certificates.key_id(certificates.parse_private_key(root_key).public_key())
    assert intermediates.signing_key_id(signed(root, root_key, key)) == intermediates.signing_key_id(
        signed(root, root_key, key)
    )


def test_an_intermediate_does_not_outlive_its_root() -> None:
    root, root_key = root_and_key()
    late_ns = NOW_NS + (10 * 365 - 100) * 24 * HOUR_NS
    parsed = x509.load_pem_x509_certificate(signed(root, root_key, certificates.new_private_key(), late_ns).encode())
    assert parsed.not_valid_after_utc == x509.load_pem_x509_certificate(root.encode()).not_valid_after_utc


def test_requests_of_another_trust_domain_or_of_no_use_are_refused() -> None:
    root, root_key = root_and_key()
    key = certificates.new_private_key()
    foreign = intermediates.new_authority_request(key, OTHER)
    refusals = {
        foreign: f'incoming CSR domain "spiffe://{OTHER}.consul" is not valid for our domain "spiffe://{CLUSTER}.consul"',
        "": "no PEM-encoded data found",
        root: "first PEM-block should be CERTIFICATE REQUEST type",
    }
    for request, problem in refusals.items():
        with pytest.raises(certificates.CertificateError) as refused:
            intermediates.sign_authority(request, root, root_key, CLUSTER, 8, YEAR_NS, NOW_NS)
        assert str(refused.value) == problem


def test_a_request_without_a_name_is_signed_but_not_taken_as_an_intermediate() -> None:
    root, root_key = root_and_key()
    key = certificates.new_private_key()
    parsed = certificates.parse_private_key(key)
    csr = x509.CertificateSigningRequestBuilder().subject_name(certificates.common_name("x"))
    pem = csr.sign(parsed, certificates.hash_for(parsed)).public_bytes(Encoding.PEM).decode()
    certificate = intermediates.sign_authority(pem, root, root_key, CLUSTER, 8, YEAR_NS, NOW_NS)
    with pytest.raises(certificates.CertificateError, match="unexpected number of URIs: 0"):
        intermediates.check_authority(certificate, root, key, CLUSTER)


def test_only_an_intermediate_for_our_key_cluster_and_root_is_taken() -> None:
    root, root_key = root_and_key()
    key = certificates.new_private_key()
    certificate = signed(root, root_key, key)
    for arguments, problem in (
        ((certificate, root, certificates.new_private_key(), CLUSTER), "for a different private key"),
        ((certificate, root, key, OTHER), "does not match current URI"),
        ((certificate, root_and_key()[0], key, CLUSTER), "could not verify intermediate cert against root"),
        ((signed(root, root_key, key).replace("MII", "MIX", 1), root, key, CLUSTER), "not a certificate in PEM"),
    ):
        with pytest.raises(certificates.CertificateError, match=problem):
            intermediates.check_authority(*arguments)


def test_a_certificate_is_renewed_after_half_of_its_life() -> None:
    root, root_key = root_and_key()
    certificate = signed(root, root_key, certificates.new_private_key())
    assert not intermediates.half_over(certificate, NOW_NS + YEAR_NS // 2 - HOUR_NS)
    assert intermediates.half_over(certificate, NOW_NS + YEAR_NS // 2)


def test_a_secondary_datacenter_keeps_its_key_in_a_record_of_its_own() -> None:
    config = parse_provider_config({})
    assert config.secondary_state_id != config.state_id
    assert config.secondary_state_id.startswith("ad:4a:c6:ab:ef:63:c9:60:1a:51:7f:19:62:e3:e9:d9")
