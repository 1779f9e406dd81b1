"""`?cached`: which questions the agent keeps an answer for, and how old it is (Consul 1.7: agent/cache).

Consul keeps the answers themselves and refreshes them in the background. Here the state is local and every answer is
made from it, so only what a client sees of that cache remains: the first question is a MISS, later ones are HITs whose
`Age` is how long ago contact with the servers was lost (0 while it lasts), until nobody asked for three days.
Datacenters and prepared queries are not refreshed: their `Age` is that of the first answer, and a client may insist on
a new one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from apid.core.message import Request
from apid.core.read_options import ReadRequest

ENTRY_LIFETIME_S = 72 * 3600.0
MAX_ENTRIES = 16384
# They say how to answer, not what is asked.
_NOT_REFRESHED = ("/v1/catalog/datacenters", "/v1/query/")
_NOT_PART_OF_THE_QUESTION = frozenset(("cached", "stale", "leader", "max_stale", "pretty", "index", "wait", "token"))


@dataclass(frozen=True, slots=True)
class CacheState:
    """What the cache knows about a question."""

    hit: bool
    age_s: int = 0


class QueryCache:
    """Questions asked with `?cached`, by when they were last asked and when answered first."""

    def __init__(self) -> None:
        self._asked_s: dict[tuple[object, ...], tuple[float, float]] = {}

    def look(self, request: Request, options: ReadRequest) -> CacheState:
        """Whether the question's answer is there and may be used; a blocking question never is answered from here."""
        question = _question(request)
        known = self._asked_s.get(question)
        now_s = time.monotonic()
        if known is None or now_s - known[0] > ENTRY_LIFETIME_S or options.min_index:
            return CacheState(hit=False)
        age_s = 0.0
        if request.path.startswith(_NOT_REFRESHED):
            age_s = now_s - known[1]
            control = options.cache_control
            if control.must_revalidate or (control.max_age_ns and age_s * 1e9 > control.max_age_ns):
                return CacheState(hit=False)
        self._remember(question, now_s, known[1])
        return CacheState(hit=True, age_s=round(age_s))

    def keep(self, request: Request) -> None:
        """Remembers that the question was answered anew now."""
        now_s = time.monotonic()
        self._remember(_question(request), now_s, now_s)

    def _remember(self, question: tuple[object, ...], asked_s: float, answered_s: float) -> None:
        self._asked_s.pop(question, None)
        while len(self._asked_s) >= MAX_ENTRIES:
            del self._asked_s[next(iter(self._asked_s))]
        self._asked_s[question] = (asked_s, answered_s)


def _question(request: Request) -> tuple[object, ...]:
    asked = sorted(
        (name, tuple(values)) for name, values in request.params.items() if name not in _NOT_PART_OF_THE_QUESTION
    )
    return (request.path, request.token(), tuple(asked))
