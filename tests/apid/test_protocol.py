"""What clients may do to a connection, with the fast lane and without it."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from apid.web import limits
from tests.apid.fronts import MAX_CONNECTIONS, SMALL_BODY_BYTES, Front, running_front, until

HOST = b"Host: a\r\n"
FUZZ_SEED = 20_240_117
FUZZ_ROUNDS = 150


@pytest.fixture(params=[True, False], ids=["lane-on", "lane-off"])
async def front(request: pytest.FixtureRequest) -> AsyncIterator[Front]:
    async with running_front(request.param) as running:
        yield running


def get(path: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    return b"GET %b HTTP/%b\r\n%b%b\r\n" % (path, version, HOST, b"".join(line + b"\r\n" for line in headers))


def put(path: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(line + b"\r\n" for line in headers)
    return b"PUT %b HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b" % (path, HOST, lines, len(body), body)


async def alive(front: Front) -> bool:
    return (await front.talk(get(b"/v1/echo/a", b"Connection: close"))).endswith(b"\r\n\r\na|")


async def test_an_answer_has_exactly_these_bytes(front: Front) -> None:
    assert await front.talk(get(b"/v1/echo/a%20b", b"Connection: close")) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nVary: Accept-Encoding\r\n"
        b"Content-Length: 4\r\nConnection: close\r\n\r\na b|"
    )


async def test_a_connection_serves_many_requests(front: Front) -> None:
    client = await front.open()
    for number in range(50):
        await client.send(get(b"/v1/echo/%d" % number))
        assert (await client.answer())[2] == b"%d|" % number
    await client.close()


async def test_requests_sent_ahead_are_answered_in_order(front: Front) -> None:
    requests = [get(b"/v1/wait"), *(put(b"/v1/echo/%d" % number, b"b") for number in range(200)), get(b"/v1/refuse")]
    client = await front.open()
    await client.send(b"".join(requests))
    await until(lambda: front.world.waiting == 1, "the first request is being answered")
    front.world.gate.set()
    assert (await client.answer())[2] == b'"waited"'
    for number in range(200):
        assert (await client.answer())[2] == b"%d|b" % number
    assert (await client.answer())[0] == 400
    await client.close()


async def test_a_malformed_request_is_refused_after_the_answers_before_it(front: Front) -> None:
    client = await front.open()
    await client.send(get(b"/v1/wait") + b"GARBAGE\r\n\r\n")
    await until(lambda: front.world.waiting == 1, "the first request is being answered")
    front.world.gate.set()
    assert (await client.answer())[2] == b'"waited"'
    assert (await client.answer())[0] == 400
    await client.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"GET /v1/echo/a\r\n\r\n", b"400"),
        (b"NON(SENSE /v1/echo/a HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"GET /v1/echo/a HTTP/9.9\r\nHost: a\r\n\r\n", b"400"),
        (b"GET /v1/echo/a HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /v1/echo/a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET /v1/echo/a HTTP/1.1\r\nHost: a\r\nBad Header\r\n\r\n", b"400"),
        (b"GET /v1/echo/a HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", b"400"),
        (b"GET /v1/echo/%zz HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"PUT /v1/echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"PUT /v1/echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"PUT /v1/echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"400"),
        (b"PUT /v1/echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"400"),
        (b"PUT /v1/echo/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", b"400"),
        (b"PUT /v1/echo/a HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nContent-Length: 1\r\n\r\na", b"417"),
    ],
)
async def test_what_is_not_http_gets_a_4xx_and_changes_nothing(front: Front, sent: bytes, status: bytes) -> None:
    answer = await front.talk(sent)
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\n") is False
    assert front.world.changes == []
    assert await alive(front)


async def test_a_head_that_is_too_large_is_refused(front: Front) -> None:
    big = b"a" * (limits.MAX_HEAD_BYTES + 1)
    for sent in (get(b"/v1/echo/" + big), get(b"/v1/echo/a", b"X: " + big)):
        assert (await front.talk(sent)).startswith(b"HTTP/1.1 431 ")
    many = [b"X-%d: y" % number for number in range(150_000)]
    assert (await front.talk(get(b"/v1/echo/a", *many))).startswith(b"HTTP/1.1 431 ")
    assert await alive(front)


async def test_a_url_and_headers_below_the_limit_are_taken(front: Front) -> None:
    long = b"a" * 500_000
    assert (await front.talk(get(b"/v1/echo/" + long, b"X: " + long, b"Connection: close"))).endswith(long + b"|")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_its_routes_limit_is_refused_by_the_route(front: Front, chunked: bool) -> None:
    body = b"a" * 200_000
    for size, status in ((SMALL_BODY_BYTES, 200), (SMALL_BODY_BYTES + 1, 413), (200_000, 413)):
        client = await front.open()
        if chunked:
            head = b"PUT /v1/small/ HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
            await client.send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (size, body[:size]))
        else:
            await client.send(put(b"/v1/small/", body[:size]))
        assert (await client.answer())[0] == status
        # The connection goes on.
        await client.send(get(b"/v1/echo/next"))
        assert (await client.answer())[2] == b"next|"
        await client.close()
    assert front.world.changes == [body[:SMALL_BODY_BYTES]]


async def test_a_body_over_every_limit_is_refused(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BODY_BYTES", 1000)
    answer = await front.talk(put(b"/v1/echo/a", b"a" * 1001))
    assert answer.startswith(b"HTTP/1.1 413 ") and answer.endswith(b"413 Request Entity Too Large")
    monkeypatch.setattr(limits, "MAX_DROPPED_BYTES", 2000)
    # Refused before it is all there.
    answer = await front.talk(put(b"/v1/echo/a", b"a" * 3000)[:-500])
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert front.world.changes == []


async def test_chunked_bodies_arrive_whole_however_they_are_cut(front: Front) -> None:
    sent = b"PUT /v1/echo/a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    sent += b"3\r\nabc\r\n5;name=value\r\ndefgh\r\n0\r\nTrailer: x\r\n\r\n"
    client = await front.open()
    for position in range(len(sent)):
        await client.send(sent[position : position + 1])
        await asyncio.sleep(0)
    assert (await client.rest()).endswith(b"a|abcdefgh")
    await client.close()


async def test_the_body_is_asked_for_when_the_client_waits_for_that(front: Front) -> None:
    client = await front.open()
    await client.send(b"PUT /v1/echo/a HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    async with asyncio.timeout(5):
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"abc")
    assert (await client.answer())[2] == b"a|abc"
    await client.close()


async def test_a_method_of_no_registry_is_refused_as_any_other_and_the_connection_stays(front: Front) -> None:
    client = await front.open()
    await client.send(b"FOO /v1/echo/a HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nxy")
    status, headers, body = await client.answer()
    assert (status, headers["allow"], body) == (405, "OPTIONS,GET,PUT", b"method FOO not allowed")
    await client.send(b"get /v1/echo/a HTTP/1.1\r\n" + HOST + b"\r\n" + get(b"/v1/echo/b"))
    assert (await client.answer())[2] == b"method get not allowed"
    assert (await client.answer())[2] == b"b|"
    await client.close()


async def test_bytes_beyond_ascii_may_stand_in_a_request_line(front: Front) -> None:
    client = await front.open()
    await client.send(get("/v1/echo/é?x=ü".encode()))
    assert (await client.answer())[2] == "é|".encode()
    await client.send(get(b"/v1/echo/a"))
    assert (await client.answer())[2] == b"a|"
    await client.close()


async def test_a_query_with_a_broken_escape_is_an_error_without_words(front: Front) -> None:
    client = await front.open()
    await client.send(get(b"/v1/echo/a?x=%zz"))
    status, headers, body = await client.answer()
    assert (status, body, "content-type" in headers) == (500, b"", False)
    await client.close()


async def test_http_1_0_is_answered_in_kind(front: Front) -> None:
    answer = await front.talk(b"GET /v1/echo/a HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n") and b"\r\nConnection:" not in answer
    client = await front.open()
    await client.send(b"GET /v1/echo/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (await client.answer())[1]["connection"] == "keep-alive"
    await client.send(b"GET /v1/stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    answer = await client.rest()
    assert b"chunked" not in answer and answer.endswith(b"\r\n\r\npiece 0\npiece 1\npiece 2\n")
    await client.close()


async def test_a_streamed_answer_comes_in_chunks(front: Front) -> None:
    answer = await front.talk(get(b"/v1/stream", b"Connection: close"))
    assert b"\r\nTransfer-Encoding: chunked\r\n" in answer
    assert answer.endswith(b"\r\n\r\n8\r\npiece 0\n\r\n8\r\npiece 1\n\r\n8\r\npiece 2\n\r\n0\r\n\r\n")


async def test_an_absolute_target_is_taken_for_its_path(front: Front) -> None:
    answer = await front.talk(get(b"http://other:80/v1/echo/a?x=1", b"Connection: close"))
    assert answer.endswith(b"a|")


async def test_head_has_no_body(front: Front) -> None:
    client = await front.open()
    await client.send(b"HEAD /v1/echo/a HTTP/1.1\r\n" + HOST + b"\r\n" + get(b"/v1/echo/b", b"Connection: close"))
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.partition(b"\r\n\r\n")[2].startswith(b"HTTP/1.1 200 OK\r\n")
    await client.close()


async def test_odd_paths_and_methods_are_answered_by_consuls_rules(front: Front) -> None:
    for sent, status in (
        (get(b"/v1/echo/a//b", b"Connection: close"), b"301"),
        (get(b"/v1/echo", b"Connection: close"), b"301"),
        (get(b"/v1/echo/%0A", b"Connection: close"), b"400"),
        (get(b"/v1/echo/%FF%FE", b"Connection: close"), b"200"),
        (get(b"/v1/wait%0A", b"Connection: close"), b"400"),
        (get(b"/nowhere", b"Connection: close"), b"404"),
        (b"PROPFIND /v1/echo/a HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n", b"405"),
        (b"OPTIONS /v1/echo/a HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n", b"200"),
        (get(b"/v1/break", b"Connection: close"), b"500"),
        (get(b"/v1/echo/a?ns=x", b"Connection: close"), b"400"),
    ):
        answer = await front.talk(sent)
        assert answer.startswith(b"HTTP/1.1 " + status), (sent, answer)


async def test_a_client_that_sends_no_more_still_gets_its_answer(front: Front) -> None:
    answer = await front.talk(get(b"/v1/echo/a"), half_close=True)
    assert answer.endswith(b"a|")
    client = await front.open()
    await client.send(get(b"/v1/wait"))
    await until(lambda: front.world.waiting == 1, "the request is being answered")
    client.writer.write_eof()
    await asyncio.sleep(0)
    front.world.gate.set()
    assert (await client.rest()).endswith(b'"waited"')
    await client.close()


async def test_a_client_that_went_away_is_not_waited_for(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HALF_CLOSED_S", 0.05)
    client = await front.open()
    await client.send(get(b"/v1/wait"))
    await until(lambda: front.world.waiting == 1, "the request is being answered")
    await client.close()
    await until(lambda: not front.server.connections(), "the connection is gone")
    assert len(front.server.lane.connections) == 0


async def test_a_head_that_does_not_end_is_given_up(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEAD_TIMEOUT_S", 0.1)
    client = await front.open()

    async def drip() -> None:
        with contextlib.suppress(ConnectionError):
            await client.send(b"GET /v1/echo/a HTTP/1.1\r\n")
            while not client.reader.at_eof():
                await client.send(b"X: y\r\n")
                await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 408 ") and answer.endswith(b"408 Request Timeout")
    await client.close()
    await dripping


async def test_a_body_that_does_not_go_on_is_given_up(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_IDLE_TIMEOUT_S", 0.1)
    answer = await front.talk(put(b"/v1/echo/a", b"abc")[:-1])
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert front.world.changes == []


async def test_an_idle_connection_is_left_alone(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEAD_TIMEOUT_S", 0.0)
    client = await front.open()
    await client.send(get(b"/v1/echo/a"))
    await client.answer()
    for connection in front.server.connections():
        connection.expire(asyncio.get_running_loop().time() + 1000)
    await client.send(get(b"/v1/echo/b"))
    assert (await client.answer())[2] == b"b|"
    await client.close()


async def test_answers_that_nobody_reads_do_not_pile_up(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await front.open()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    count = 300
    client.writer.write(b"".join(get(b"/v1/big?n=%d" % number) for number in range(count)))
    await until(lambda: any(one.flow.write_paused for one in front.server.connections()), "the connection is full")
    (connection,) = front.server.connections()
    assert connection.transport.get_write_buffer_size() < 3_000_000
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(count):
        assert len((await client.answer())[2]) == 1_000_000
    # And one that never reads is cut off.
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.writer.write(get(b"/v1/big") * 100)
    await until(lambda: connection.flow.write_paused, "the connection is full")
    connection.expire(asyncio.get_running_loop().time() + limits.WRITE_STALL_TIMEOUT_S + 1)
    await until(lambda: not front.server.connections(), "the connection is gone")
    client.writer.transport.abort()


async def test_one_connection_too_many_is_told_so(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    refused = []
    front.server.lane.connections.on_refused = lambda: refused.append(1)
    clients = [await front.open() for _ in range(MAX_CONNECTIONS)]
    await until(lambda: len(front.server.lane.connections) == MAX_CONNECTIONS, "all are open")
    with caplog.at_level(logging.WARNING, logger="agent.http"):
        answers = [await front.talk(get(b"/v1/echo/a")) for _ in range(3)]
        answers.append(await front.talk(put(b"/v1/echo/a", b"a" * 500_000)))
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 429 ") and b"http_max_conns_per_client" in answer
    assert len(refused) == 4
    assert [record.getMessage() for record in caplog.records] == [
        f"connection refused, too many from one client: from=127.0.0.1 limit={MAX_CONNECTIONS}"
        " (limits.http_max_conns_per_client)"
    ]
    assert front.world.changes == []
    # A higher limit and a free place both help at once.
    front.server.lane.connections.maximum += 1
    assert await alive(front)
    front.server.lane.connections.maximum -= 1
    await clients.pop().close()
    await until(lambda: len(front.server.lane.connections) == MAX_CONNECTIONS - 1, "a place is free")
    assert await alive(front)
    for client in clients:
        await client.close()


async def test_a_compressed_answer_unpacks_to_the_plain_one(front: Front) -> None:
    import gzip

    client = await front.open()
    await client.send(get(b"/v1/echo/abc", b"Accept-Encoding: gzip"))
    _, headers, body = await client.answer()
    assert headers["content-encoding"] == "gzip" and gzip.decompress(body) == b"abc|"
    await client.close()


@pytest.mark.parametrize("lane", [True, False])
async def test_a_unix_socket_serves_like_a_port(tmp_path: Path, lane: bool) -> None:
    async with running_front(lane, tmp_path / "http.sock") as front:
        assert await alive(front)


@pytest.mark.parametrize(
    "sent",
    [
        get(b"/v1/break?token=SECRET"),
        get(b"/v1/break?%74oken=SECRET"),
        get(b"/v1/break?a=b;token=SECRET&c=d"),
        get(b"/v1/break", b"X-Consul-Token: SECRET"),
        get(b"/v1/break", b"Authorization: Bearer SECRET"),
    ],
)
async def test_a_token_is_in_no_log_line(front: Front, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        client = await front.open()
        await client.send(sent)
        assert (await client.answer())[0] == 500
        await client.send(sent.replace(b"HTTP/1.1", b"HTTP/7.7"))
        await client.rest()
        await client.close()
    assert "RuntimeError: our mistake" in caplog.text
    assert "SECRET" not in caplog.text


async def test_random_bytes_harm_nothing(front: Front) -> None:
    """Valid requests with bytes changed, removed, doubled; and bytes of no meaning at all."""
    source = random.Random(FUZZ_SEED)
    seeds = [
        get(b"/v1/echo/a?x=1", b"Accept-Encoding: gzip"),
        put(b"/v1/echo/a", b"body"),
        b"PUT /v1/small/ HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        get(b"/v1/stream") + get(b"/v1/refuse"),
        source.randbytes(200),
    ]
    for number in range(FUZZ_ROUNDS):
        sent = bytearray(source.choice(seeds))
        for _ in range(source.randrange(1, 8)):
            at = source.randrange(len(sent))
            match source.randrange(4):
                case 0:
                    sent[at] = source.randrange(256)
                case 1:
                    del sent[at : at + source.randrange(1, 5)]
                case 2:
                    sent[at:at] = source.randbytes(source.randrange(1, 5))
                case _:
                    sent[at:at] = sent[at : at + source.randrange(1, 30)]
            sent = sent or bytearray(b"G")
        answer = await front.talk(bytes(sent), half_close=True)
        found = f"seed {FUZZ_SEED}, round {number}: {bytes(sent)!r} got {answer[:200]!r}"
        assert not answer or answer.startswith(b"HTTP/1."), found
        assert b"500" not in answer[:16], found
    assert await alive(front)
