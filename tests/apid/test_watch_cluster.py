"""Watches while servers die: streams of the others go on, a client agent's continues at another server."""

import http.client
import threading
from pathlib import Path

import pytest

from tests.apid.watch_client import WatchClient, knows_leader
from tools.agents import Agent, make_agent, running, wait_until

TOPIC = "kv/count/"


def put(agent: Agent, key: str, value: bytes) -> bool:
    """Whether the write was acknowledged; an agent that is gone acknowledges nothing."""
    connection = http.client.HTTPConnection(agent.http, timeout=10)
    try:
        connection.request("PUT", f"/v1/kv/{key}", value)
        return connection.getresponse().read() == b"true"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@pytest.mark.slow
def test_no_acknowledged_write_is_missing_from_any_stream_when_the_leader_is_killed(tmp_path: Path) -> None:
    fast = {"performance": {"raft_multiplier": 1}}
    first = make_agent(tmp_path / "s0", "s0", "-server", "-bootstrap-expect=3", config=fast)
    servers = [first]
    for number in (1, 2):
        flags = ("-server", "-bootstrap-expect=3", f"-retry-join={first.lan}")
        servers.append(make_agent(tmp_path / f"s{number}", f"s{number}", *flags, config=fast))
    joins = [f"-retry-join={server.lan}" for server in servers]
    client = make_agent(tmp_path / "c", "c0", *joins)
    with running(*servers, client):
        for agent in (*servers, client):
            wait_until("the agent knows a leader", lambda agent=agent: knows_leader(agent), 60)  # type: ignore[misc]
        address = first.get("/v1/status/leader")
        leader = next(server for server in servers if address.endswith(f":{server.ports['server']}"))
        others = [server for server in servers if server is not leader]
        acknowledged: dict[str, bytes] = {}
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                key, value = f"count/{number % 30}", b"%d" % number
                # A write that failed may have been applied all the same, so its key is given up.
                if put(others[0], key, value):
                    acknowledged[key] = value
                    number += 1
                else:
                    acknowledged.pop(key, None)
                    number += 1

        with WatchClient(others[1].http, TOPIC) as followed, WatchClient(client.http, TOPIC) as relayed:
            writer = threading.Thread(target=write)
            writer.start()
            try:
                for stream in (followed, relayed):
                    stream.wait("writes arrive", lambda stream=stream: len(stream.events) > 20)  # type: ignore[misc]
                leader.kill()
                wait_until("another server leads", lambda: knows_leader(others[0]), 30)
                acknowledged_before = set(acknowledged.items())
                wait_until("writes go on", lambda: len(set(acknowledged.items()) - acknowledged_before) > 10, 30)
            finally:
                stop.set()
                writer.join(60)
            assert wait_until("the last write", lambda: put(others[0], "count/end", b"end"), 30)
            for stream in (followed, relayed):
                stream.wait(  # type: ignore[misc]
                    "the last write arrives", lambda stream=stream: "count/end" in stream.values(TOPIC)
                )
                copy = stream.values(TOPIC)
                assert {key: copy.get(key) for key in acknowledged} == acknowledged
            assert followed.values(TOPIC) == relayed.values(TOPIC)
            assert followed.names(TOPIC).count("reset") == 1
            assert "error" not in [name for name, _ in (*followed.events, *relayed.events)]
