"""The built-in provider's keys, certificates, configuration and identities."""

import time

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from lictor.connect import certificates
from lictor.connect.provider_config import (
    HOUR_NS,
    INITIAL_CONFIG,
    ProviderConfigError,
    initial_config,
    parse_provider_config,
)
from lictor.connect.spiffe import AgentIdentity, ServiceIdentity, SigningIdentity, SpiffeError, parse_identity

CLUSTER = "11111111-2222-3333-4444-555555555555"
WEB = ServiceIdentity(f"{CLUSTER}.consul", "default", "bj", "web")
NOW_NS = time.time_ns()


def root_and_key(kind: str = "ec", bits: int = 256) -> tuple[str, str]:
    key = certificates.new_private_key(kind, bits)
    return certificates.new_root(key, CLUSTER, 7, NOW_NS), key


@pytest.mark.parametrize(("kind", "bits"), [("ec", 224), ("ec", 256), ("ec", 384), ("ec", 521), ("rsa", 2048)])
def test_a_leaf_verifies_against_its_root_and_names_its_service(kind: str, bits: int) -> None:
    root, key = root_and_key(kind, bits)
    row = certificates.root_row(root, "consul", CLUSTER)
    assert (row.private_key_type, row.private_key_bits, row.active, row.name) == (
        kind,
        bits,
        True,
        "Consul CA Root Cert",
    )
    csr = certificates.new_signing_request(certificates.new_private_key(), WEB)
    leaf = certificates.sign_leaf(certificates.parse_signing_request(csr), root, key, 300, HOUR_NS, NOW_NS)
    certificate = x509.load_pem_x509_certificate(leaf.certificate.encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(root.encode()))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        f"spiffe://{CLUSTER}.consul/ns/default/dc/bj/svc/web"
    ]
    assert leaf.serial == "01:2c"
    assert leaf.not_after_ns - leaf.not_before_ns == HOUR_NS
    assert leaf.not_before_ns < NOW_NS


def test_a_leaf_does_not_outlive_its_root() -> None:
    root, key = root_and_key()
    late_ns = NOW_NS + (10 * 365 - 1) * 24 * HOUR_NS
    csr = certificates.new_signing_request(certificates.new_private_key(), WEB)
    leaf = certificates.sign_leaf(certificates.parse_signing_request(csr), root, key, 1, 90 * 24 * HOUR_NS, late_ns)
    assert leaf.not_after_ns == certificates.root_row(root, "consul", CLUSTER).not_after_ns


def test_who_trusts_only_the_old_root_verifies_the_cross_signed_one() -> None:
    old, old_key = root_and_key()
    new, _ = root_and_key("rsa", 2048)
    crossed = x509.load_pem_x509_certificate(certificates.cross_sign(new, old, old_key, 9, NOW_NS).encode())
    crossed.verify_directly_issued_by(x509.load_pem_x509_certificate(old.encode()))
    fresh = x509.load_pem_x509_certificate(new.encode())
    assert crossed.public_key() == fresh.public_key()
    assert crossed.subject == fresh.subject


def test_a_root_is_refused_with_a_key_that_is_not_its_own() -> None:
    root, _ = root_and_key()
    with pytest.raises(certificates.CertificateError, match="not that of the root"):
        certificates.check_root(root, certificates.new_private_key())


def test_a_leaf_is_refused_as_root() -> None:
    root, key = root_and_key()
    leaf_key = certificates.new_private_key()
    csr = certificates.parse_signing_request(certificates.new_signing_request(leaf_key, WEB))
    leaf = certificates.sign_leaf(csr, root, key, 1, HOUR_NS, NOW_NS)
    with pytest.raises(certificates.CertificateError, match="authority"):
        certificates.check_root(leaf.certificate, leaf_key)


@pytest.mark.parametrize(
    "text", ["", "rubbish", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
)
def test_a_malformed_signing_request_is_refused(text: str) -> None:
    with pytest.raises(certificates.CertificateError):
        certificates.parse_signing_request(text)


def test_common_names_fit_however_long_the_service_is() -> None:
    long = ServiceIdentity(f"{CLUSTER}.consul", "default", "bj", "x_" * 200)
    name = certificates.service_common_name(long)
    assert len(name) == 64
    assert name.endswith(".svc.default.11111111.consul")
    csr = certificates.parse_signing_request(certificates.new_signing_request(certificates.new_private_key(), long))
    assert csr.identity == long
    assert csr.csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == name


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("spiffe://a.consul/ns/default/dc/dc1/svc/web", ServiceIdentity("a.consul", "default", "dc1", "web")),
        ("spiffe://a.consul/ns/n%20s/dc/d/svc/w%2Fb", ServiceIdentity("a.consul", "n s", "d", "w/b")),
        ("spiffe://a.consul/agent/client/dc/dc1/id/n1", AgentIdentity("a.consul", "dc1", "n1")),
        ("spiffe://a.consul", SigningIdentity("a", "consul")),
    ],
)
def test_identities_are_read_and_written(text: str, identity: object) -> None:
    assert parse_identity(text) == identity
    assert parse_identity(text).uri == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://a.consul",
        "spiffe://x",
        "spiffe://a.consul/ns/default/dc/dc1/svc/",
        "spiffe://a.consul/x",
        "spiffe://[",
        "spiffe://a.consul/ns/a/dc/b/svc/%zz",
    ],
)
def test_other_uris_are_no_identities(text: str) -> None:
    with pytest.raises(SpiffeError):
        parse_identity(text)


def test_only_identities_of_the_trust_domain_are_signed() -> None:
    signing = SigningIdentity(CLUSTER)
    assert signing.may_sign(WEB)
    assert signing.may_sign(ServiceIdentity(f"{CLUSTER}.CONSUL", "default", "bj", "web"))
    assert not signing.may_sign(ServiceIdentity("other.consul", "default", "bj", "web"))


def test_the_keys_of_files_become_those_of_the_api() -> None:
    cluster_id, config = initial_config({"leaf_cert_ttl": "24h", "private_key_bits": 384, "cluster_id": CLUSTER})
    assert cluster_id == CLUSTER
    assert config == {**INITIAL_CONFIG, "LeafCertTTL": "24h", "PrivateKeyBits": 384}
    assert parse_provider_config(config).leaf_cert_ttl_ns == 24 * HOUR_NS


def test_the_record_of_a_provider_is_found_where_consul_keeps_it() -> None:
    """The identifier of a server's own generated key, as in an archive saved by Consul 1.7.2."""
    assert parse_provider_config({}).state_id.startswith("07:80:c8:de:f6:41:86:29:8f:9c:b8:17:d6:48:c2:d5")


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"LeafCertTTL": "59m"}, "leaf cert TTL must be greater or equal than 1h0m0s"),
        ({"LeafCertTTL": "8761h"}, "leaf cert TTL must be less than 8760h0m0s"),
        (
            {"LeafCertTTL": "zz"},
            "error decoding config: 1 error(s) decoding:\n\n* error decoding 'LeafCertTTL': time: ",
        ),
        ({"IntermediateCertTTL": "2h", "LeafCertTTL": "1h"}, "Intermediate Cert TTL must be greater or equal than 3h"),
        (
            {"IntermediateCertTTL": "100h"},
            "Intermediate Cert TTL must be greater or equal than 3 * LeafCertTTL (>=216h0m0s).",
        ),
        ({"PrivateKeyBits": 100}, "EC key length must be one of (224, 256, 384, 521) bits"),
        ({"PrivateKeyType": "rsa"}, "RSA key length must be 2048 or 4096 bits"),
        ({"PrivateKeyType": "dsa"}, "private key type must be either 'ec' or 'rsa'"),
        ({"RootCert": "x"}, "must provide a private key when providing a root cert"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(config: dict[str, object], text: str) -> None:
    with pytest.raises(ProviderConfigError) as refusal:
        parse_provider_config(config)
    assert str(refusal.value).startswith(text)
