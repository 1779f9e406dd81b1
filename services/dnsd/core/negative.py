"""The negative answer (RFC 2308)."""

from __future__ import annotations

from dnsd.core.answer import Answer
from dnsd.core.context import Context
from dnsd.core.records import NXDOMAIN


def negative(context: Context, rcode: int = NXDOMAIN) -> Answer:
    """No such name (or, with NOERROR, no such record), with the SOA that says how long that may be remembered."""
    return Answer(rcode=rcode, authorities=[context.settings.soa(context.now_s)], serial_s=context.now_s)
