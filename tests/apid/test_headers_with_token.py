"""A question that one request leads to carries that request's token, wherever the client put it."""

import pytest

from apid.core.message import HeaderList, Request
from apid.node.bearer import headers_with_token


@pytest.mark.parametrize(
    ("query", "headers", "token"),
    [
        (b"", [(b"x-consul-token", b"h")], "h"),
        (b"", [(b"authorization", b"Bearer b")], "b"),
        (b"index=5", [(b"x-consul-token", b"h")], "h"),
        (b"token=q", [], "q"),
        (b"token=q", [(b"x-consul-token", b"h"), (b"authorization", b"Bearer b")], "q"),
        (b"index=5", [], ""),
    ],
)
def test_the_token_comes_along(query: bytes, headers: HeaderList, token: str) -> None:
    asked = Request("GET", "/v1/agent/connect/ca/leaf/web", query, [(b"accept", b"*/*"), *headers])
    question = Request("GET", "/v1/connect/ca/roots", b"", headers_with_token(asked))
    assert question.token() == token == asked.token()
    assert question.header(b"accept") == "*/*"
