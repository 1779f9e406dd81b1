"""Questions that are not ours: passed to the recursors, else SERVFAIL (Consul 1.7: dns, recursion)."""

from __future__ import annotations

from dnsd.core.answer import Answer
from dnsd.core.context import Context
from dnsd.core.needs import Handling, Relay, Unavailable
from dnsd.core.records import SERVFAIL


def relay(context: Context) -> Handling:
    """The first recursor's packet as it is; SERVFAIL, with recursion said to be available, when all fail."""
    failed = Answer(rcode=SERVFAIL, authoritative=False, recursion_available=True)
    if not context.settings.has_recursors:
        return failed
    try:
        packet: bytes | None = yield Relay()
    except Unavailable:
        return failed
    return failed if packet is None else Answer(relayed=packet)


def refuse() -> Answer:
    """What a name outside gets while there are no recursors: a bare SERVFAIL."""
    return Answer(rcode=SERVFAIL, authoritative=False, echo_edns=False)
