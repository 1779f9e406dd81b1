"""The built-in provider's configuration: decoding, defaults, refusals (Consul 1.7: provider_consul_config.go)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lictor.state.config_decoding import DURATION, NUMBER, TEXT, TRUTH, decode_fields
from lictor.state.gotext import format_duration
from lictor.state.writer import Refused

CONSUL = "consul"
HOUR_NS = 3_600_000_000_000
LEAF_TTL_MIN_NS = HOUR_NS
LEAF_TTL_MAX_NS = 365 * 24 * HOUR_NS
INTERMEDIATE_TTL_MIN_NS = 3 * HOUR_NS
"""Three rounds of the hourly look at intermediates."""
EC_BITS = (224, 256, 384, 521)
RSA_BITS = (2048, 4096)
INITIAL_CONFIG = {"IntermediateCertTTL": "8760h", "LeafCertTTL": "72h", "RotationPeriod": "2160h"}
"""What a new cluster starts with; shown as it is."""
_FILE_KEYS = {
    "private_key": "PrivateKey",
    "root_cert": "RootCert",
    "rotation_period": "RotationPeriod",
    "intermediate_cert_ttl": "IntermediateCertTTL",
    "leaf_cert_ttl": "LeafCertTTL",
    "csr_max_per_second": "CSRMaxPerSecond",
    "csr_max_concurrent": "CSRMaxConcurrent",
    "private_key_type": "PrivateKeyType",
    "private_key_bits": "PrivateKeyBits",
    "disable_cross_signing": "DisableCrossSigning",
    "cluster_id": "ClusterID",
}
_SHAPE = {
    "PrivateKey": TEXT,
    "RootCert": TEXT,
    "RotationPeriod": DURATION,
    "IntermediateCertTTL": DURATION,
    "LeafCertTTL": DURATION,
    "SkipValidate": TRUTH,
    "CSRMaxPerSecond": NUMBER,
    "CSRMaxConcurrent": NUMBER,
    "PrivateKeyType": TEXT,
    "PrivateKeyBits": NUMBER,
    "DisableCrossSigning": TRUTH,
}


class ProviderConfigError(ValueError):
    """A configuration the provider cannot work with."""


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """Durations in nanoseconds. Rate limit 0: none."""

    private_key: str = ""
    root_cert: str = ""
    rotation_period_ns: int = 90 * 24 * HOUR_NS
    intermediate_cert_ttl_ns: int = 365 * 24 * HOUR_NS
    leaf_cert_ttl_ns: int = 72 * HOUR_NS
    csr_max_per_second: float = 50.0
    private_key_type: str = "ec"
    private_key_bits: int = 256
    disable_cross_signing: bool = False

    @property
    def state_id(self) -> str:
        """Under which the provider keeps key and certificate: another key or root, another record."""
        return self._record("true")

    @property
    def secondary_state_id(self) -> str:
        """The same in a secondary datacenter, whose authority is an intermediate one."""
        return self._record("false")

    def _record(self, is_primary: str) -> str:
        return hashlib.sha256(f"{self.private_key},{self.root_cert},{is_primary}".encode()).digest().hex(":")


def provider_settings(from_files: Mapping[str, Any]) -> dict[str, Any]:
    """What configuration files say, under the names of the API."""
    return {_FILE_KEYS.get(key.lower(), key): value for key, value in from_files.items()}


def initial_config(from_files: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The cluster ID that the agent's files ask for (empty: none) and the configuration of a new cluster."""
    config: dict[str, Any] = dict(INITIAL_CONFIG)
    cluster_id = ""
    for name, value in provider_settings(from_files).items():
        if name == "ClusterID":
            cluster_id = str(value)
        else:
            config[name] = value
    return cluster_id, dict(sorted(config.items()))


def parse_provider_config(raw: Mapping[str, Any] | None) -> ProviderConfig:
    """Decoded and checked. Errors: ProviderConfigError."""
    try:
        fields = decode_fields(raw or {}, _SHAPE)
    except Refused as refused:
        raise ProviderConfigError(f"error decoding config: {refused.text}") from None
    plain = ProviderConfig()
    config = ProviderConfig(
        private_key=fields.get("PrivateKey") or "",
        root_cert=fields.get("RootCert") or "",
        rotation_period_ns=fields.get("RotationPeriod", plain.rotation_period_ns) or 0,
        intermediate_cert_ttl_ns=fields.get("IntermediateCertTTL", plain.intermediate_cert_ttl_ns) or 0,
        leaf_cert_ttl_ns=fields.get("LeafCertTTL", plain.leaf_cert_ttl_ns) or 0,
        csr_max_per_second=float(fields.get("CSRMaxPerSecond", plain.csr_max_per_second) or 0),
        private_key_type=fields.get("PrivateKeyType") or plain.private_key_type,
        private_key_bits=int(fields.get("PrivateKeyBits") or plain.private_key_bits),
        disable_cross_signing=bool(fields.get("DisableCrossSigning")),
    )
    if not config.private_key and config.root_cert:
        raise ProviderConfigError("must provide a private key when providing a root cert")
    if not fields.get("SkipValidate"):
        _check(config)
    return config


def _check(config: ProviderConfig) -> None:
    leaf_ns, intermediate_ns = config.leaf_cert_ttl_ns, config.intermediate_cert_ttl_ns
    if leaf_ns < LEAF_TTL_MIN_NS:
        raise ProviderConfigError(f"leaf cert TTL must be greater or equal than {format_duration(LEAF_TTL_MIN_NS)}")
    if leaf_ns > LEAF_TTL_MAX_NS:
        raise ProviderConfigError(f"leaf cert TTL must be less than {format_duration(LEAF_TTL_MAX_NS)}")
    if intermediate_ns < INTERMEDIATE_TTL_MIN_NS:
        raise ProviderConfigError("Intermediate Cert TTL must be greater or equal than 3h")
    if intermediate_ns < 3 * leaf_ns:
        least = format_duration(3 * leaf_ns)
        raise ProviderConfigError(f"Intermediate Cert TTL must be greater or equal than 3 * LeafCertTTL (>={least}).")
    if config.private_key_type == "ec":
        if config.private_key_bits not in EC_BITS:
            raise ProviderConfigError("EC key length must be one of (224, 256, 384, 521) bits")
    elif config.private_key_type == "rsa":
        if config.private_key_bits not in RSA_BITS:
            raise ProviderConfigError("RSA key length must be 2048 or 4096 bits")
    else:
        raise ProviderConfigError("private key type must be either 'ec' or 'rsa'")
