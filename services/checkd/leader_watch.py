"""On servers, notices a leader in the raft page: earlier than by gossip, and even when the announcement was missed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lictor.page import PageReader

POLL_S = 0.1


async def watch_leader(data_dir: str, on_leader: Callable[[], None]) -> None:
    """Call back whenever a leader appears or the term with a known leader changes, until cancelled."""
    reader: PageReader | None = None
    seen = (False, 0)
    while True:
        if reader is None:
            try:
                reader = PageReader(data_dir)
            except (FileNotFoundError, ValueError):
                # raftd has not started yet.
                await asyncio.sleep(POLL_S)
                continue
        state = reader.read()
        now = (state.known_leader, state.term if state.known_leader else 0)
        if now != seen:
            seen = now
            if state.known_leader:
                on_leader()
        await asyncio.sleep(POLL_S)
