"""Waiting for a condition with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_S = 0.005


async def until(what: str, condition: Callable[[], T | None], timeout_s: float = 10.0) -> T:
    """What the condition gives once it is true."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if result := condition():
            return result
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"{what}: not within {timeout_s} s")
