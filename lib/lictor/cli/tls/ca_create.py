"""`consul tls ca create`: a certificate authority for a cluster's TLS."""

from __future__ import annotations

import os

from lictor.cli.call import OK, Call, CommandError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul tls ca create [options]

  Makes a certificate authority: a certificate and its key, in the current
  directory.
"""
FLAG_ERROR = "Failed to parse args: {}"
DEFAULT_DAYS = 1825


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("days", "int", "Days the certificate is valid; 1825 when not given.", "1825")
    flags.add("domain", "string", "Domain of the cluster; consul when not given.", "consul")
    flags.add("name-constraint", "bool", "Restrict the authority to the domain.")
    flags.add("additional-name-constraint", "strings", "Further name to restrict it to. May be given several times.")


def run(call: Call) -> int:
    """Make and write both."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    from lictor.cli.tls import files

    domain = call.flag("domain", "consul")
    names = call.flag("additional-name-constraint", [])
    certificate_file, key_file = f"{domain}-agent-ca.pem", f"{domain}-agent-ca-key.pem"
    for path in (certificate_file, key_file):
        if os.path.exists(path):
            raise CommandError(f"{path} already exists.")
    if call.flag("days", DEFAULT_DAYS) < 0:
        raise CommandError("x509: certificate has expired or is not yet valid: -days must be positive")
    key, serial = files.new_key(), x509.random_serial_number()
    begins, ends = files.validity(call.flag("days", DEFAULT_DAYS))
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lictor"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Consul Agent CA {serial}"),
        ]
    )
    identifier = files.key_identifier(key.public_key())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier(identifier), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(identifier, None, None), critical=False)
    )
    if call.flag("name-constraint", False):
        permitted = [x509.DNSName(each) for each in (*names, "localhost", domain)]
        builder = builder.add_extension(x509.NameConstraints(permitted, None), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    files.write_new(certificate_file, files.pem_of(certificate))
    call.out(f"==> Saved {certificate_file}")
    files.write_new(key_file, files.pem_of_key(key))
    call.out(f"==> Saved {key_file}")
    return OK
