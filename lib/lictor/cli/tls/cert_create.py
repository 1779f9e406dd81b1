"""`consul tls cert create`: certificates for servers, clients and the command line."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Any

from lictor.cli.call import OK, Call, CommandError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul tls cert create [options]

  Makes a certificate signed by the cluster's authority: one of -server,
  -client and -cli says for whom.
"""
FLAG_ERROR = "Failed to parse args: {}"
DEFAULT_DAYS = 365
MAX_NUMBER = 10_000
_BEGIN = re.compile(r"-----BEGIN ([^-\n]+)-----")
DOMAIN_MARK = "#DOMAIN#"
WARNING = (
    "==> WARNING: Server Certificates grants authority to become a\n"
    "    server and access all state in the cluster including root keys\n"
    "    and all ACL tokens. Do not distribute them to production hosts\n"
    "    that are not server nodes. Store them as securely as CA keys."
)


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add(
        "ca", "string", "The authority's certificate; #DOMAIN#-agent-ca.pem when not given.", "#DOMAIN#-agent-ca.pem"
    )
    flags.add(
        "key", "string", "The authority's key; #DOMAIN#-agent-ca-key.pem when not given.", "#DOMAIN#-agent-ca-key.pem"
    )
    flags.add("server", "bool", "For a server.")
    flags.add("client", "bool", "For a client agent.")
    flags.add("cli", "bool", "For the command line.")
    flags.add("days", "int", "Days the certificate is valid; 365 when not given.", "365")
    flags.add("dc", "string", "Datacenter; dc1 when not given.", "dc1")
    flags.add("domain", "string", "Domain of the cluster; consul when not given.", "consul")
    flags.add("additional-dnsname", "strings", "Further DNS name. localhost is always there.")
    flags.add("additional-ipaddress", "strings", "Further IP address. 127.0.0.1 is always there.")


def run(call: Call) -> int:
    """Make and write certificate and key."""
    chosen = [kind for kind in ("server", "client", "cli") if call.flag(kind, False)]
    if len(chosen) != 1:
        raise CommandError("Please provide either -server, -client, or -cli")
    kind = chosen[0]
    domain, datacenter = call.flag("domain", "consul"), call.flag("dc", "dc1")
    ca_file = call.flag("ca", f"{DOMAIN_MARK}-agent-ca.pem").replace(DOMAIN_MARK, domain)
    key_file = call.flag("key", f"{DOMAIN_MARK}-agent-ca-key.pem").replace(DOMAIN_MARK, domain)
    prefix = _free_prefix(f"{datacenter}-{kind}-{domain}" if kind != "cli" else f"{datacenter}-cli-{domain}")
    from lictor.cli.tls import files

    authority, signer = files.read(ca_file, "CA"), files.read(key_file, "CA key")
    if kind == "server":
        call.out(WARNING)
    call.out(f"==> Using {ca_file} and {key_file}")
    if call.flag("days", DEFAULT_DAYS) <= 0:
        raise CommandError("x509: certificate has expired or is not yet valid: -days must be positive")
    key = files.new_key()
    certificate = _sign(call, kind, f"{kind}.{datacenter}.{domain}", key, authority, signer)
    files.write_new(f"{prefix}.pem", files.pem_of(certificate))
    call.out(f"==> Saved {prefix}.pem")
    files.write_new(f"{prefix}-key.pem", files.pem_of_key(key))
    call.out(f"==> Saved {prefix}-key.pem")
    return OK


def _free_prefix(base: str) -> str:
    for number in range(MAX_NUMBER):
        prefix = f"{base}-{number}"
        if not os.path.exists(f"{prefix}.pem") and not os.path.exists(f"{prefix}-key.pem"):
            return prefix
    raise CommandError(f"{base}-0.pem to {base}-{MAX_NUMBER - 1}.pem already exist.")


def _sign(call: Call, kind: str, name: str, key: Any, ca_pem: bytes, ca_key_pem: bytes) -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    from lictor.cli.tls import files

    _check_first_block(ca_key_pem, ("EC PRIVATE KEY",), "unknown PEM block type for signing key: {}")
    _check_first_block(ca_pem, ("CERTIFICATE",), "first PEM-block should be CERTIFICATE type")
    try:
        authority = x509.load_pem_x509_certificate(ca_pem)
        signer = serialization.load_pem_private_key(ca_key_pem, None)
    except ValueError as error:
        raise CommandError(f"Error reading the authority's files: {error}") from None
    ca_key = authority.public_key()
    if not isinstance(signer, ec.EllipticCurvePrivateKey) or not isinstance(ca_key, ec.EllipticCurvePublicKey):
        raise CommandError("Error: the authority's key must be an elliptic curve key")
    if signer.public_key() != ca_key:
        raise CommandError("x509: provided PrivateKey doesn't match parent's PublicKey")
    begins, ends = files.validity(call.flag("days", DEFAULT_DAYS))
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, False, True, False, False, False, False, False, False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(files.key_identifier(key.public_key())), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(files.key_identifier(ca_key), None, None), critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternatives(call, kind, name)), critical=False)
    )
    if kind != "cli":
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        if kind == "client":
            purposes.reverse()
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _check_first_block(pem: bytes, wanted: tuple[str, ...], fault: str) -> None:
    """Errors: CommandError when a text does not begin with what is wanted."""
    found = _BEGIN.search(pem.decode("utf-8", "replace"))
    if found is None:
        raise CommandError("no PEM-encoded data found")
    if found.group(1) not in wanted:
        raise CommandError(fault.format(found.group(1)))


def _alternatives(call: Call, kind: str, name: str) -> list[Any]:
    """The names and addresses the certificate is good for."""
    from cryptography import x509

    extra = call.flag("additional-dnsname", []) if kind != "cli" else []
    addresses = [*call.flag("additional-ipaddress", []), *(["127.0.0.1"] if kind != "cli" else [])]
    try:
        parsed = [ipaddress.ip_address(address) for address in addresses]
    except ValueError:
        raise CommandError("failed to parse certificate") from None
    return [*(x509.DNSName(each) for each in (*extra, name, "localhost")), *(x509.IPAddress(each) for each in parsed)]
