"""Names in our domain: one handler per kind of name."""

from __future__ import annotations

from dnsd.core.addresses import answer_address
from dnsd.core.answer import Answer
from dnsd.core.context import Context
from dnsd.core.needs import Handling
from dnsd.core.negative import negative
from dnsd.core.nodes import answer_node
from dnsd.core.plan import Kind, make_plan
from dnsd.core.services import answer_query, answer_service


def answer_in_zone(context: Context) -> Handling:
    """The answer to a name in one of the domains, whatever its type (SOA, NS and AXFR never come here)."""
    plan = make_plan(context.question, context.zone, context.settings.datacenter)
    if plan is None:
        return negative(context)
    answer: Answer
    if plan.kind is Kind.ADDR:
        answer = answer_address(context, plan)
    elif plan.kind is Kind.NODE:
        answer = yield from answer_node(context, plan)
    elif plan.kind is Kind.QUERY:
        answer = yield from answer_query(context, plan)
    else:
        answer = yield from answer_service(context, plan)
    return answer
