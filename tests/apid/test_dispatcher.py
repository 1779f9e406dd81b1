"""Routing and what surrounds every endpoint."""

import asyncio

import pytest

from apid.core.access import Unresolved
from apid.core.dispatcher import Dispatcher
from apid.core.errors import BadRequest, Forbidden
from apid.core.message import JSON, Request, Response
from apid.core.parameters import unescape_path
from apid.core.routes import Operation, Route, clean_path


def _echo(request: Request) -> Response:
    return Response(200, b'{"tail":"' + request.tail.encode("utf-8", "surrogateescape") + b'"}', JSON)


def _refuse(request: Request) -> Response:
    raise BadRequest("No!")


async def _slow(request: Request) -> Response:
    await asyncio.sleep(0)
    return Response(200, b"1", JSON)


def _text_only(request: Request) -> Response:
    return Response(200, request.tail.encode(), JSON)


def _break(request: Request) -> Response:
    raise RuntimeError("our mistake")


def make(**settings: object) -> Dispatcher:
    routes = [
        Route("/v1/kv/", {"GET": Operation(_echo, "e"), "PUT": Operation(_echo, "e")}),
        Route("/v1/query", {"GET": Operation(_echo, "e")}),
        Route("/v1/query/", {"GET": Operation(_echo, "e")}),
        Route("/v1/refuse", {"GET": Operation(_refuse, "e")}),
        Route("/v1/slow", {"GET": Operation(_slow, "e")}),
        Route("/v1/break", {"GET": Operation(_break, "e")}),
        Route("/v1/text/", {"GET": Operation(_text_only, "e")}),
    ]
    return Dispatcher(routes, **settings)  # type: ignore[arg-type]


def ask(dispatcher: Dispatcher, method: str, target: str, **headers: str) -> Response:
    raw_path, _, query = target.encode().partition(b"?")
    path = unescape_path(raw_path)
    assert path is not None
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    answer = dispatcher.dispatch(Request(method, path, query, given, b"", "10.0.0.1", target.encode()))
    assert isinstance(answer, Response)
    return answer


@pytest.mark.parametrize("target", ["/v1/kv/a/b//c", "/v1/kv/./a", "/v1/../v1/kv/a"])
def test_an_unclean_path_is_redirected_to_the_clean_one(target: str) -> None:
    answer = ask(make(), "GET", target + "?x=1")
    assert answer.status == 301
    assert answer.header(b"location") == clean_path(target).encode() + b"?x=1"


def test_a_missing_final_slash_is_redirected_unless_the_path_is_a_route() -> None:
    assert ask(make(), "GET", "/v1/kv").body == b'<a href="/v1/kv/">Moved Permanently</a>.\n\n'
    assert ask(make(), "PUT", "/v1/kv").body == b""
    assert ask(make(), "GET", "/v1/query").status == 200


def test_the_longest_pattern_wins_and_the_rest_is_the_tail() -> None:
    assert ask(make(), "GET", "/v1/kv/a%20b/c").body == b'{"tail":"a b/c"}'
    assert ask(make(), "GET", "/v1/other").status == 404
    assert ask(make(), "GET", "/v1/kv/" + "a/" * 5000).status == 200


def test_a_method_that_is_not_listed_is_refused_with_those_that_are() -> None:
    answer = ask(make(), "POST", "/v1/kv/x")
    assert (answer.status, answer.body) == (405, b"method POST not allowed")
    assert answer.header(b"allow") == b"OPTIONS,GET,PUT"
    assert ask(make(), "OPTIONS", "/v1/kv/x").header(b"allow") == b"OPTIONS,GET,PUT"


def test_errors_become_answers_in_one_place() -> None:
    answer = ask(make(), "GET", "/v1/refuse")
    assert (answer.status, answer.body) == (400, b"No!")
    assert ask(make(), "GET", "/v1/break").status == 500
    answer = ask(make(), "GET", "/v1/text/%ff")
    assert (answer.status, answer.body) == (400, b"Bad request: the path or a parameter is not UTF-8")


async def test_an_answer_may_come_later() -> None:
    answer = make().dispatch(Request("GET", "/v1/slow", b"", []))
    assert not isinstance(answer, Response)
    assert (await answer).body == b"1"


@pytest.mark.parametrize("resolved_at_once", [True, False])
async def test_a_denied_read_of_the_catalog_carries_the_meta_data_of_a_failed_one(resolved_at_once: bool) -> None:
    pending = [] if resolved_at_once else [Unresolved()]

    def deny(request: Request) -> Response:
        if pending:
            raise pending.pop()
        raise Forbidden("Permission denied")

    dispatcher = Dispatcher(
        [
            Route("/v1/plain", {"GET": Operation(deny, "d")}),
            Route("/v1/read", {"GET": Operation(deny, "d", meta_on_error=True)}),
        ]
    )
    answer = dispatcher.dispatch(Request("GET", "/v1/read", b"", []))
    response = answer if isinstance(answer, Response) else await answer
    assert (response.status, response.header(b"x-consul-index")) == (403, b"1")
    assert response.header(b"x-consul-knownleader") == b"false"
    assert ask(dispatcher, "GET", "/v1/plain").header(b"x-consul-index") is None


def test_an_unprintable_path_is_refused_unless_that_is_turned_off() -> None:
    assert ask(make(), "GET", "/v1/kv/a%00b").status == 400
    assert ask(make(), "GET", "/v1/kv/%FF").status == 200
    assert ask(make(filter_unprintable=False), "GET", "/v1/kv/a%00b").status == 200


def test_blocked_endpoints_and_foreign_writers_are_refused() -> None:
    blocked = ask(make(block_endpoints=("/v1/kv",)), "GET", "/v1/kv/x")
    assert (blocked.status, blocked.body) == (403, b"Endpoint is blocked by agent configuration")
    restricted = make(allow_write_from=("192.168.0.0/16",))
    assert ask(restricted, "PUT", "/v1/kv/x").status == 403
    assert ask(restricted, "GET", "/v1/kv/x").status == 200
    assert ask(make(allow_write_from=("10.0.0.0/8",)), "PUT", "/v1/kv/x").status == 200


def test_namespaces_are_refused() -> None:
    answer = ask(make(), "GET", "/v1/kv/x?ns=a")
    assert answer.status == 400
    assert answer.body == b'Bad request: Invalid query parameter: "ns" - Namespaces is a Consul Enterprise feature'


def test_configured_headers_are_on_every_answer_of_the_api() -> None:
    dispatcher = make(response_headers={"Access-Control-Allow-Origin": "*"})
    assert ask(dispatcher, "GET", "/v1/kv/x").header(b"access-control-allow-origin") == b"*"
    assert ask(dispatcher, "POST", "/v1/kv/x").header(b"access-control-allow-origin") == b"*"


def test_pretty_counts_by_its_presence() -> None:
    assert ask(make(), "GET", "/v1/kv/x?pretty=false").body == b'{\n    "tail": "x"\n}\n'


def test_a_compressed_answer_says_so() -> None:
    answer = ask(make(), "GET", "/v1/kv/x", accept_encoding="gzip")
    assert answer.header(b"content-encoding") == b"gzip"
    assert answer.header(b"vary") == b"Accept-Encoding"


def test_configured_headers_replace_what_was_guessed_and_not_what_an_endpoint_says() -> None:
    dispatcher = make(response_headers={"x-a-b": "1", "content-type": "text/odd", "vary": "X"})
    found = ask(dispatcher, "GET", "/v1/kv/a")
    assert (b"X-A-B", b"1") in found.headers
    assert [value for name, value in found.headers if name.lower() == b"vary"] == [b"X"]
    assert found.header(b"content-type") == JSON
    assert ask(dispatcher, "GET", "/v1/refuse").header(b"content-type") == b"text/odd"
