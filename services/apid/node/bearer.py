"""Requests that stand for a token alone: for rights that are not those of who asks."""

from __future__ import annotations

from apid.core.message import HeaderList, Request

ANONYMOUS = "anonymous"
"""The token of who sends none, named so that the agent's own default does not take its place."""


def bearing(token: str) -> Request:
    """A request that carries nothing but a token; empty: the agent's default."""
    headers: HeaderList = [(b"x-consul-token", token.encode("latin-1", "replace"))] if token else []
    return Request("GET", "/", b"", headers)
