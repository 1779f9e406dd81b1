"""Who answers what: the ordered list of handlers. The first whose condition holds answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dnsd.core import recursion
from dnsd.core.addresses import ARPA, answer_reverse
from dnsd.core.answer import Answer
from dnsd.core.apex import answer_ns, answer_soa
from dnsd.core.context import Context
from dnsd.core.lookups import answer_in_zone
from dnsd.core.names import Name, is_under
from dnsd.core.needs import Handling
from dnsd.core.question import Question
from dnsd.core.records import AXFR, DS, NOTIMP, NS, SOA
from dnsd.core.settings import Settings


def _answered(answer: Answer) -> Handling:
    return answer
    yield  # a generator that needs nothing


def _refuse_transfer(context: Context) -> Handling:
    return _answered(Answer(rcode=NOTIMP))


def _refuse_outside(context: Context) -> Handling:
    return _answered(recursion.refuse())


def _is_for_parent(question: Question, settings: Settings) -> bool:
    """The parent of a zone answers for its DS record (RFC 4035 3.1.4.1): with recursors that is theirs to say."""
    return question.kind == DS and settings.has_recursors


def _is_reverse(question: Question, settings: Settings, zone: Name | None) -> bool:
    return zone is None and is_under(question.folded, ARPA) and not _is_for_parent(question, settings)


def _is_ours(question: Question, settings: Settings, zone: Name | None) -> bool:
    return zone is not None and not _is_for_parent(question, settings)


Condition = Callable[[Question, Settings, Name | None], bool]

HANDLERS: tuple[tuple[str, Condition, Callable[[Context], Handling]], ...] = (
    ("reverse", _is_reverse, answer_reverse),
    ("apex soa", lambda question, settings, zone: zone is not None and question.kind == SOA, answer_soa),
    ("apex ns", lambda question, settings, zone: zone is not None and question.kind == NS, answer_ns),
    ("transfer", lambda question, settings, zone: zone is not None and question.kind == AXFR, _refuse_transfer),
    ("our domain", _is_ours, answer_in_zone),
    ("recursion", lambda question, settings, zone: settings.has_recursors, recursion.relay),
    ("outside", lambda question, settings, zone: True, _refuse_outside),
)


def handle(
    question: Question,
    settings: Settings,
    now_s: int,
    shuffle: Callable[[list[Any]], None],
    client_address: str,
    budget_bytes: int,
) -> Handling:
    """The handling of a question: a generator of needs that ends in an Answer. The asker takes `budget_bytes`."""
    zone = settings.zone_of(question.folded)
    context = Context(
        question=question,
        settings=settings,
        zone=zone if zone is not None else settings.domain,
        now_s=now_s,
        shuffle=shuffle,
        answer_in_zone=answer_in_zone,
        client_address=client_address,
        budget_bytes=budget_bytes,
    )
    for _, applies, handler in HANDLERS:
        if applies(question, settings, zone):
            return handler(context)
    raise AssertionError("the last handler takes everything")
