"""Requests that stand for another token than that of who asks: whose rights decide is not always who asks."""

from __future__ import annotations

from apid.core.message import HeaderList, Request

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


def headers_with_token(request: Request) -> HeaderList:
    """A request's headers for a question of another path: its token comes along, also when it was in the query."""
    token = request.token()
    if not token or not request.query:
        return request.headers
    kept = [pair for pair in request.headers if pair[0] not in (b"x-consul-token", b"authorization")]
    return [*kept, (b"x-consul-token", token.encode("latin-1", "replace"))]
