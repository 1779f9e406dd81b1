"""Following a CNAME: inside our domain by asking ourselves, outside by asking the recursors.

Of a service that a name leads to as many instances are told as a plain UDP question would be told of.
"""

from __future__ import annotations

from dnsd.core import names
from dnsd.core.context import Context
from dnsd.core.names import Name
from dnsd.core.needs import OutsideAddresses, RecordsMaking, Unavailable
from dnsd.core.question import Question
from dnsd.core.records import AAAA, ANY, CNAME, IN, A, Record

CHAIN_KINDS = frozenset({CNAME, A, AAAA})


def resolve_name(context: Context, target: Name) -> RecordsMaking:
    """The records that the target leads to; none when that cannot be found out."""
    folded = names.fold(target)
    zone = context.settings.zone_of(folded)
    if zone is not None and len(folded) > len(zone):
        if context.depth < 1:
            return []
        inner = Context(
            question=Question(target, folded, ANY, IN, 0, context.question.payload_bytes),
            settings=context.settings,
            zone=zone,
            now_s=context.now_s,
            shuffle=context.shuffle,
            answer_in_zone=context.answer_in_zone,
            budget_bytes=context.budget_bytes,
            depth=context.depth - 1,
        )
        answer = yield from context.answer_in_zone(inner)
        groups = answer.groups[: answer.group_limit or None]
        found = [record for group in groups for record in group.answers]
        return found[: context.settings.plain_answer_limit] if answer.trims else found
    if not context.settings.has_recursors:
        return []
    try:
        outside: list[Record] = yield OutsideAddresses(target)
    except Unavailable:
        return []
    return outside
