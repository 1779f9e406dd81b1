"""How old facts may be (Consul 1.7: `allow_stale`, `max_stale`, `use_cache`, `cache_max_age`)."""

from __future__ import annotations

import msgspec

NOTABLE_STALENESS_S = 5.0
"""Answers from facts older than this are counted (`dns.stale_queries`)."""


class Staleness(msgspec.Struct, frozen=True):
    """The bounds in seconds."""

    allow_stale: bool = True
    max_stale_s: float = 87600 * 3600.0
    use_cache: bool = False
    cache_max_age_s: float = 0.0
    """With `use_cache`: how old a kept answer may be; 0 leaves it to `max_stale_s`."""

    @property
    def limit_s(self) -> float:
        """The oldest that facts may be."""
        if self.use_cache and self.cache_max_age_s > 0:
            return min(self.cache_max_age_s, self.max_stale_s)
        return self.max_stale_s

    def may_use(self, age_s: float) -> bool:
        """Whether facts of that age may be answered with."""
        return self.allow_stale and age_s <= self.limit_s
