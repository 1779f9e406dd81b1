"""What every handler is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dnsd.core.names import Name
from dnsd.core.needs import Handling
from dnsd.core.question import Question
from dnsd.core.settings import Settings

MAX_CNAME_DEPTH = 3
"""How often a CNAME inside our domain is followed."""


class Context(msgspec.Struct, frozen=True):
    """One question being answered."""

    question: Question
    settings: Settings
    zone: Name
    """The domain the question is in."""
    now_s: int
    """Unix time."""
    shuffle: Callable[[list[Any]], None]
    """Puts a list in random order."""
    answer_in_zone: Callable[[Context], Handling]
    """Answers a name in our domain: for following a CNAME into it."""
    budget_bytes: int
    """The largest packet that the asker takes."""
    client_address: str = ""
    depth: int = MAX_CNAME_DEPTH
    """How many CNAMEs may still be followed."""

    def use_wan(self, datacenter: str) -> bool:
        """Whether things of that datacenter are named by their WAN addresses."""
        return self.settings.translate_wan and datacenter.lower() != self.settings.datacenter.lower()
