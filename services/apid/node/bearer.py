"""Requests that stand for another token than that of who asks: whose rights decide is not always who asks."""

from __future__ import annotations

from apid.core.message import Request

ANONYMOUS = "anonymous"
"""The token of who sends none, named so that the agent's own default does not take its place."""


def bearing(request: Request, token: str) -> Request:
    """A request of the same kind that carries this token and nothing else.

    Asked again for the same token it is the same request, so that what is found out about it is kept.
    """
    known = request.bearers.get(token)
    if known is None:
        stale = request.query and (request.has("stale") or request.has("max_stale"))
        headers = [(b"x-consul-token", token.encode("latin-1", "replace"))]
        known = Request(request.method, request.path, b"stale" if stale else b"", headers, hops=request.hops)
        request.bearers[token] = known
    return known
