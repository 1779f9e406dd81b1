"""`consul agent`: run an agent (the work is `lictor.agent.main`)."""

from __future__ import annotations

from lictor.agent.main import main

__all__ = ["main"]
