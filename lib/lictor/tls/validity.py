"""Until when a certificate is good, read from its DER form (RFC 5280 4.1) without a library for certificates."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

SEQUENCE, EXPLICIT_VERSION, UTC_TIME = 0x30, 0xA0, 0x17
_LONG_FORM = 0x80


class MalformedCertificate(ValueError):
    """Not DER, or not a certificate."""


def not_after(pem: str) -> datetime:
    """When the first certificate of a text expires. Errors: MalformedCertificate."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    start = pem.find(begin)
    stop = pem.find(end, start)
    if start < 0 or stop < 0:
        raise MalformedCertificate("no certificate in PEM")
    try:
        data = ssl.PEM_cert_to_DER_cert(pem[start : stop + len(end)] + "\n")
        _, whole, _ = _element(data, 0)
        _, content, _ = _element(whole, 0)
        position = 0
        tag, _, following = _element(content, position)
        if tag == EXPLICIT_VERSION:
            position = following
        for _ in ("serial number", "signature algorithm", "issuer"):
            _, _, position = _element(content, position)
        _, times, _ = _element(content, position)
        _, _, second = _element(times, 0)
        tag, text, _ = _element(times, second)
        form = "%y%m%d%H%M%SZ" if tag == UTC_TIME else "%Y%m%d%H%M%SZ"
        return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC)
    except (IndexError, ValueError) as error:
        raise MalformedCertificate(str(error)) from None


def _element(data: bytes, position: int) -> tuple[int, bytes, int]:
    """Tag and content of the element that begins here, and where the next one does."""
    tag, length = data[position], data[position + 1]
    position += 2
    if length & _LONG_FORM:
        count = length & ~_LONG_FORM
        length = int.from_bytes(data[position : position + count], "big")
        position += count
    if position + length > len(data):
        raise MalformedCertificate("an element is longer than what holds it")
    return tag, data[position : position + length], position + length
