"""The agent's side of `consul exec`: what is run, what is written, and when it is refused."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from checkd.main import CheckDaemon
from checkd.remote_exec import NOT_RUN, OUTPUT_BYTES, Job, decoded
from lictor.pb.lictor.v1 import forward_pb2, gossip_pb2
from lictor.user_event import PREFIX, REMOTE_EXEC, UserEvent, to_wire
from tests.checkd.daemon import make_config, running
from tests.checkd.fake_apid import FakeApid
from tests.checkd.test_gossip import FakeGossipd
from tests.checkd.waiting import until

SESSION = "adf4238a-882b-9ddc-4a9d-5b6758e4159e"


class FakeStore(FakeApid):
    """Keys, held by one session while it lives."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.keys: dict[str, bytes] = {}
        self.written: list[tuple[str, bytes]] = []
        self.session_lives = True

    async def Handle(self, request: forward_pb2.HttpRequest, context: Any) -> forward_pb2.HttpResponse:
        if not request.path.startswith("/v1/kv/"):
            return await super().Handle(request, context)
        key = unquote(request.path.removeprefix("/v1/kv/"))
        if request.method == "PUT":
            assert parse_qs(request.query) == {"acquire": [SESSION]}
            if self.session_lives:
                self.written.append((key, request.body))
            body = json.dumps(self.session_lives).encode()
            return forward_pb2.HttpResponse(id=request.id, status=200, body=body)
        if key not in self.keys:
            return forward_pb2.HttpResponse(id=request.id, status=404)
        entry = [{"Key": key, "Value": base64.b64encode(self.keys[key]).decode()}]
        return forward_pb2.HttpResponse(id=request.id, status=200, body=json.dumps(entry).encode())


class Cluster:
    """A checkd between a store and a gossipd."""

    def __init__(self, daemon: CheckDaemon, store: FakeStore, gossipd: FakeGossipd) -> None:
        self.daemon, self.store, self.gossipd = daemon, store, gossipd
        self._fired = 0

    def fire(self, job: dict[str, Any] | None, payload: bytes = b"", service: str = "", tag: str = "") -> str:
        """Ask for a job, as `consul exec` does; the ID of the event."""
        if job is not None:
            self.store.keys[f"_rexec/{SESSION}/job"] = json.dumps(job).encode()
        self._fired += 1
        identity = f"00000000-0000-4000-8000-{self._fired:012d}"
        payload = payload or json.dumps({"Prefix": "_rexec", "Session": SESSION}).encode()
        event = UserEvent(identity, REMOTE_EXEC, payload, "^n1$", service, tag)
        self.send(event)
        return identity

    def send(self, event: UserEvent) -> None:
        self.gossipd.events.put_nowait(gossip_pb2.UserEvent(name=PREFIX + event.name, payload=to_wire(event)))

    async def result(self) -> list[tuple[str, bytes]]:
        """What was written, without the place, once a job has ended."""
        await until("the exit code is written", lambda: any(key.endswith("/exit") for key, _ in self.store.written))
        return [(key.removeprefix(f"_rexec/{SESSION}/n1/"), value) for key, value in self.store.written]


@asynccontextmanager
async def cluster(tmp_path: Path, **fields: Any) -> AsyncIterator[Cluster]:
    store = FakeStore(tmp_path)
    gossipd = FakeGossipd(tmp_path)
    await store.start()
    await gossipd.server.start()
    try:
        async with running(make_config(tmp_path, **{"disable_remote_exec": False, **fields})) as (daemon, _):
            yield Cluster(daemon, store, gossipd)
    finally:
        await gossipd.server.stop(0)
        await store.stop()


@pytest.mark.parametrize(
    ("job", "output", "code"),
    [
        ({"Command": "echo a; echo b >&2; exit 3"}, b"a\nb\n", b"3"),
        ({"Args": ["printf", "%s", "a  b"]}, b"a  b", b"0"),
        ({"Script": base64.b64encode(b"#!/bin/sh\necho script; exit 4\n").decode()}, b"script\n", b"4"),
        ({"Command": "kill -9 $$"}, b"", b"-1"),
        ({"Args": ["/nonexistent"]}, b"", str(NOT_RUN).encode()),
        ({"Command": "cat"}, b"", b"0"),
    ],
)
async def test_a_job_is_acknowledged_run_and_reported(
    tmp_path: Path, job: dict[str, Any], output: bytes, code: bytes
) -> None:
    async with cluster(tmp_path) as made:
        made.fire({"Wait": 10**9, **job})
        written = await made.result()
    assert written[0] == ("ack", b"")
    assert written[-1] == ("exit", code)
    pieces = written[1:-1]
    assert b"".join(value for _, value in pieces) == output
    assert [name for name, _ in pieces] == [f"out/{number:05x}" for number in range(len(pieces))]


async def test_long_output_comes_in_pieces(tmp_path: Path) -> None:
    async with cluster(tmp_path) as made:
        made.fire({"Command": f"head -c {OUTPUT_BYTES * 2 + 100} /dev/zero", "Wait": 10**9})
        written = await made.result()
    assert [len(value) for name, value in written if name.startswith("out/")] == [OUTPUT_BYTES, OUTPUT_BYTES, 100]


async def test_a_silent_program_is_told_to_live(tmp_path: Path) -> None:
    async with cluster(tmp_path) as made:
        made.fire({"Command": f"until [ -e {tmp_path}/end ]; do sleep 0.01; done", "Wait": 1})
        await until("two signs of life", lambda: len(made.store.written) >= 3)
        (tmp_path / "end").touch()
        written = await made.result()
    assert {value for name, value in written if name.startswith("out/")} == {b""}


async def test_it_is_off_unless_allowed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with cluster(tmp_path, disable_remote_exec=True) as made:
        made.fire({"Command": f"touch {tmp_path}/ran"})
        await until("the refusal is logged", lambda: "ignoring remote exec event, disabled." in caplog.text)
        assert made.store.written == []
    assert not (tmp_path / "ran").exists()


async def test_only_the_meant_run_it_and_once(tmp_path: Path) -> None:
    async with cluster(tmp_path) as made:
        ran = tmp_path / "ran"
        job = {"Command": f"echo x >> {ran}", "Wait": 10**9}
        made.fire(job, service="^web")
        identity = made.fire(job)
        payload = json.dumps({"Prefix": "_rexec", "Session": SESSION}).encode()
        made.send(UserEvent(identity, REMOTE_EXEC, payload, "", "", ""))
        await made.result()
        made.store.written.clear()
        made.fire({"Command": "exit 9", "Wait": 10**9})
        assert (await made.result())[-1] == ("exit", b"9")
        assert ran.read_text() == "x\n"


async def test_without_a_job_or_a_living_session_nothing_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="agent")
    async with cluster(tmp_path) as made:
        made.fire(None)
        await until("the job is missed", lambda: "remote exec aborted, job spec missing" in caplog.text)
        made.fire(None, payload=b"nonsense")
        await until("the event is refused", lambda: "failed to decode remote exec event" in caplog.text)
        made.store.session_lives = False
        made.fire({"Command": f"touch {tmp_path}/ran"})
        await until("the ack fails", lambda: "failed to ack remote exec job" in caplog.text)
    assert not (tmp_path / "ran").exists()


async def test_a_caller_that_is_gone_does_not_stop_the_program(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(tmp_path) as made:
        long = f"until [ -e {tmp_path}/go ]; do sleep 0.01; done; head -c 300000 /dev/zero; touch {tmp_path}/ended"
        made.fire({"Command": long, "Wait": 10**10})
        await until("it is acknowledged", lambda: made.store.written)
        made.store.session_lives = False
        (tmp_path / "go").touch()
        await until("it ends", (tmp_path / "ended").exists)
        await until("nobody could be told", lambda: "failed to write exit code for remote exec job" in caplog.text)
    assert made.store.written == [(f"_rexec/{SESSION}/n1/ack", b"")]


def test_a_job_is_read_as_consul_exec_writes_it() -> None:
    job = {"Command": "a", "Args": None, "Wait": 2 * 10**9}
    assert decoded(json.dumps(job).encode()) == Job("a", [], b"", 2.0)
    for text in (b"[]", b"x", b'{"Command":1}', b'{"Script":"!"}'):
        with pytest.raises(ValueError):
            decoded(text)


async def test_programs_are_started_without_a_copy_of_this_process(tmp_path: Path) -> None:
    import os

    copies: list[int] = []
    os.register_at_fork(before=lambda: copies.append(1))
    async with cluster(tmp_path) as made:
        copies.clear()
        made.fire({"Command": "true", "Wait": 10**9})
        assert (await made.result())[-1] == ("exit", b"0")
        assert copies == []
