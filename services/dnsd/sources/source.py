"""What the engine asks of a source of facts."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from dnsd.core.cache import Stamp


class Found(NamedTuple):
    """Facts for a need and the stamps under which they stand; without stamps nothing made of them may be kept."""

    facts: Any
    stamps: tuple[Stamp, ...] | None


class View(Protocol):
    """A consistent look at what a source has at hand. Valid inside the context manager that gave it."""

    def get(self, stamp: bytes) -> bytes | None:
        """The present value of a stamp."""
        ...

    def find(self, need: Any) -> Found | None:
        """Facts that are at hand; None when they must be fetched.

        Raises Unavailable.
        """
        ...


class Source(Protocol):
    """A source of facts."""

    def view(self) -> AbstractContextManager[View]: ...

    async def fetch(self, need: Any) -> Found:
        """Facts that take a wait.

        Raises Unavailable.
        """
        ...
