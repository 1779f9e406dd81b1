"""`?cached`: which questions the agent keeps an answer for, and how old it is (Consul 1.7: agent/cache).

Consul keeps the answers themselves and refreshes them in the background. Here the state is local and every answer is
made from it, so only what a client sees of that cache remains: the first question is a MISS, later ones are HITs whose
`Age` is how long ago contact with the servers was lost (0 while it lasts), until nobody asked for three days.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from apid.core.message import Request
from apid.core.read_options import ReadRequest

ENTRY_LIFETIME_S = 72 * 3600.0
MAX_ENTRIES = 16384
# They say how to answer, not what is asked.
_NOT_PART_OF_THE_QUESTION = frozenset(("cached", "stale", "leader", "max_stale", "pretty", "index", "wait", "token"))


@dataclass(frozen=True, slots=True)
class CacheState:
    """What the cache knows about a question."""

    hit: bool
    age_s: int = 0


class QueryCache:
    """Questions asked with `?cached`, by when they were last asked."""

    def __init__(self) -> None:
        self._asked_s: dict[tuple[object, ...], float] = {}

    def look(self, request: Request, options: ReadRequest) -> CacheState:
        """Whether the question's answer is there and may be used; a blocking question never is answered from here."""
        asked_s = self._asked_s.get(_question(request))
        now_s = time.monotonic()
        if asked_s is None or now_s - asked_s > ENTRY_LIFETIME_S or options.min_index:
            return CacheState(hit=False)
        if options.cache_control.must_revalidate:
            return CacheState(hit=False)
        self.keep(request)
        return CacheState(hit=True)

    def keep(self, request: Request) -> None:
        """Remembers that the question was asked now."""
        question = _question(request)
        self._asked_s.pop(question, None)
        while len(self._asked_s) >= MAX_ENTRIES:
            del self._asked_s[next(iter(self._asked_s))]
        self._asked_s[question] = time.monotonic()


def _question(request: Request) -> tuple[object, ...]:
    asked = sorted(
        (name, tuple(values)) for name, values in request.params.items() if name not in _NOT_PART_OF_THE_QUESTION
    )
    return (request.path, request.token(), tuple(asked))
