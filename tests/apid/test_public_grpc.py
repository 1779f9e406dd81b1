"""The public gRPC API on running agents: the same answers as HTTP, errors as codes, streams, documented examples."""

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2 as grpc_health_pb2
from grpc_health.v1 import health_pb2_grpc as grpc_health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from lictor.pb.lictor.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    event_pb2,
    event_pb2_grpc,
    health_pb2,
    health_pb2_grpc,
    kv_pb2,
    kv_pb2_grpc,
    query_pb2,
    session_pb2,
    session_pb2_grpc,
)
from tests.apid.watch_client import knows_leader
from tests.compat.programs import node_client
from tests.needs import need
from tools.agents import Agent, free_ports, make_agent, running, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = ROOT / "protos" / "examples"
DEADLINE_S = 30.0


class Stream:
    """Reads a stream on a thread of its own; keeps what came."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.messages: list[Any] = []
        self.error: grpc.RpcError | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._call.cancel()
        self._thread.join(10)

    def _read(self) -> None:
        try:
            for message in self._call:
                with self._changed:
                    self.messages.append(message)
                    self._changed.notify_all()
        except grpc.RpcError as error:
            with self._changed:
                self.error = error
                self._changed.notify_all()

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE_S), f"{what}: {self.messages[-3:]} {self.error}"


def target(agent: Agent) -> str:
    port = json.loads((agent.data_dir / "run" / "config.json").read_bytes())["ports"]["grpc"]
    return f"{agent.host}:{port}"


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Agent, Agent]]:
    """A server and a client agent, both with the gRPC port."""
    folder = tmp_path_factory.mktemp("grpc")
    server_port, client_port = free_ports(2)
    fast = {"performance": {"raft_multiplier": 1}}
    server = make_agent(folder / "s", "gs", "-server", "-bootstrap-expect=1", f"-grpc-port={server_port}", config=fast)
    client = make_agent(folder / "c", "gc", f"-retry-join={server.lan}", f"-grpc-port={client_port}")
    with running(server, client):
        for agent in (server, client):
            wait_until("the agent knows a leader", lambda agent=agent: knows_leader(agent))  # type: ignore[misc]
        wait_until("the server is registered", lambda: server.get("/v1/health/service/consul?passing"))
        yield server, client


@pytest.fixture(params=[0, 1], ids=["server", "client agent"])
def channel(agents: tuple[Agent, Agent], request: pytest.FixtureRequest) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(target(agents[request.param])) as made:
        yield made


def code(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def test_keys_are_written_read_listed_and_deleted(agents: tuple[Agent, Agent], channel: grpc.Channel) -> None:
    kv = kv_pb2_grpc.KVStub(channel)
    value = bytes(range(256))
    assert kv.Put(kv_pb2.KVPutRequest(key="g/a b%/ü", value=value, flags=7)).success
    for consistency in query_pb2.Consistency.values():
        options = query_pb2.QueryOptions(consistency=consistency)
        answer = kv.Get(kv_pb2.KVGetRequest(key="g/a b%/ü", options=options))
        assert (answer.entry.value, answer.entry.flags) == (value, 7)
        assert answer.meta.known_leader
        assert answer.meta.index == answer.entry.modify_index
    assert not kv.Put(kv_pb2.KVPutRequest(key="g/a b%/ü", value=b"", cas=0)).success
    assert kv.Put(kv_pb2.KVPutRequest(key="g/a b%/ü", value=b"", cas=answer.entry.modify_index)).success
    assert kv.Get(kv_pb2.KVGetRequest(key="g/a b%/ü")).entry.value == b""
    kv.Put(kv_pb2.KVPutRequest(key="g/z", value=b"1"))
    assert [entry.key for entry in kv.List(kv_pb2.KVListRequest(prefix="g/")).entries] == ["g/a b%/ü", "g/z"]
    assert list(kv.Keys(kv_pb2.KVKeysRequest(prefix="g/", separator="/")).keys) == ["g/a b%/", "g/z"]
    assert kv.Delete(kv_pb2.KVDeleteRequest(key="g/", recurse=True)).success
    assert list(kv.List(kv_pb2.KVListRequest(prefix="g/")).entries) == []
    assert list(kv.Keys(kv_pb2.KVKeysRequest(prefix="g/")).keys) == []


def test_errors_are_codes_with_the_text_of_http(channel: grpc.Channel) -> None:
    kv, health = kv_pb2_grpc.KVStub(channel), health_pb2_grpc.HealthStub(channel)
    sessions, events = session_pb2_grpc.SessionsStub(channel), event_pb2_grpc.EventsStub(channel)
    catalog = catalog_pb2_grpc.CatalogStub(channel)
    status = grpc.StatusCode
    assert code(lambda: kv.Get(kv_pb2.KVGetRequest(key="none")))[0] is status.NOT_FOUND
    assert code(lambda: kv.Get(kv_pb2.KVGetRequest())) == (status.INVALID_ARGUMENT, "Missing key name")
    assert code(lambda: kv.Get(kv_pb2.KVGetRequest(key="a//b")))[0] is status.INVALID_ARGUMENT
    big = b"x" * (512 * 1024 + 1)
    assert code(lambda: kv.Put(kv_pb2.KVPutRequest(key="big", value=big)))[0] is status.INVALID_ARGUMENT
    gone = "12345678-1234-1234-1234-123456789012"
    refused = code(lambda: kv.Put(kv_pb2.KVPutRequest(key="k", value=b"", acquire=gone)))
    assert refused[0] is status.FAILED_PRECONDITION
    assert f'invalid session "{gone}"' in refused[1]
    assert code(lambda: sessions.Renew(session_pb2.SessionRenewRequest(id=gone)))[0] is status.NOT_FOUND
    elsewhere = query_pb2.QueryOptions(datacenter="nowhere")
    assert code(lambda: kv.Get(kv_pb2.KVGetRequest(key="k", options=elsewhere))) == (
        status.UNAVAILABLE,
        "No path to datacenter",
    )
    nodes = catalog_pb2.NodesRequest(filter="Node ==")
    assert code(lambda: catalog.Nodes(nodes))[0] is status.INVALID_ARGUMENT
    assert code(lambda: health.Checks(health_pb2.ChecksRequest()))[0] is status.INVALID_ARGUMENT
    assert code(lambda: health.ServiceInstances(health_pb2.ServiceInstancesRequest())) == (
        status.INVALID_ARGUMENT,
        "Missing service name",
    )
    assert code(lambda: events.Fire(event_pb2.EventFireRequest()))[0] is status.INVALID_ARGUMENT
    assert code(lambda: catalog.Register(catalog_pb2.RegisterRequest()))[0] is not status.OK
    assert code(lambda: list(health.Watch(health_pb2.HealthWatchRequest())))[0] is status.INVALID_ARGUMENT
    watch = kv_pb2.KVWatchRequest(prefix="k", options=query_pb2.WatchOptions(datacenter="nowhere"))
    assert code(lambda: list(kv.Watch(watch))) == (status.UNAVAILABLE, "No path to datacenter")


def test_registrations_show_in_catalog_and_health(channel: grpc.Channel) -> None:
    catalog, health = catalog_pb2_grpc.CatalogStub(channel), health_pb2_grpc.HealthStub(channel)
    service = catalog_pb2.Service(id="ext1", service="ext", tags=["v1", "a"], address="10.9.9.9", port=99)
    node = catalog_pb2.Node(node="outside", address="10.9.9.8", meta={"zone": "x"})
    check = catalog_pb2.Check(check_id="c", name="c", status="warning", service_id="ext1")
    catalog.Register(catalog_pb2.RegisterRequest(node=node, service=service, checks=[check]))
    try:
        assert list(catalog.Datacenters(catalog_pb2.DatacentersRequest()).datacenters) == ["bj"]
        found = catalog.Nodes(catalog_pb2.NodesRequest(node_meta={"zone": "x"})).nodes
        assert [(item.node, item.address, item.datacenter) for item in found] == [("outside", "10.9.9.8", "bj")]
        services = catalog.Services(catalog_pb2.ServicesRequest()).services
        assert {item.name: sorted(item.tags) for item in services}["ext"] == ["a", "v1"]
        (item,) = health.ServiceInstances(health_pb2.ServiceInstancesRequest(service="ext", tags=["v1", "a"])).instances
        assert (item.service.port, item.service.passing_weight, item.checks[0].status) == (99, 1, "warning")
        passing = health_pb2.ServiceInstancesRequest(service="ext", passing_only=True)
        assert not health.ServiceInstances(passing).instances
        for request in ({"node": "outside"}, {"service": "ext"}, {"state": "warning"}):
            checks = health.Checks(health_pb2.ChecksRequest(**request)).checks
            assert [row.check_id for row in checks] == ["c"]
    finally:
        catalog.Deregister(catalog_pb2.DeregisterRequest(node="outside"))
    assert not health.ServiceInstances(health_pb2.ServiceInstancesRequest(service="ext")).instances


def test_a_session_holds_a_lock_until_it_is_destroyed(channel: grpc.Channel) -> None:
    kv, sessions = kv_pb2_grpc.KVStub(channel), session_pb2_grpc.SessionsStub(channel)
    made = session_pb2.SessionCreateRequest(name="s", ttl="30s", behavior="delete", lock_delay_ms=0)
    with Stream(sessions.Watch(session_pb2.SessionWatchRequest())) as watch:
        watch.wait("the first answer", lambda: bool(watch.messages))
        session = sessions.Create(made).id
        assert kv.Put(kv_pb2.KVPutRequest(key="lock", value=b"", acquire=session)).success
        entry = kv.Get(kv_pb2.KVGetRequest(key="lock")).entry
        assert (entry.session, entry.lock_index) == (session, 1)
        assert sessions.Renew(session_pb2.SessionRenewRequest(id=session)).session.ttl == "30s"
        (found,) = sessions.List(session_pb2.SessionListRequest(id=session)).sessions
        assert (found.behavior, found.lock_delay_ms, list(found.node_checks)) == ("delete", 0, ["serfHealth"])
        sessions.Destroy(session_pb2.SessionDestroyRequest(id=session))
        watch.wait("its end", lambda: session in watch.messages[-1].deletes)
        assert not any(message.reset for message in watch.messages[1:])
    assert code(lambda: kv.Get(kv_pb2.KVGetRequest(key="lock")))[0] is grpc.StatusCode.NOT_FOUND


def test_key_streams_bring_only_changes_and_resume(agents: tuple[Agent, Agent], channel: grpc.Channel) -> None:
    kv = kv_pb2_grpc.KVStub(channel)
    kv.Put(kv_pb2.KVPutRequest(key="w/a", value=b"1"))
    kv.Put(kv_pb2.KVPutRequest(key="w/b", value=b"1"))
    request = kv_pb2.KVWatchRequest(prefix="w/")
    exact = kv_pb2.KVWatchRequest(prefix="w/a", exact=True)
    with Stream(kv.Watch(request)) as watch, Stream(kv.Watch(exact)) as one:
        watch.wait("the state", lambda: len(watch.messages) == 1)
        one.wait("the state", lambda: len(one.messages) == 1)
        assert watch.messages[0].reset
        assert [entry.key for entry in watch.messages[0].upserts] == ["w/a", "w/b"]
        kv.Put(kv_pb2.KVPutRequest(key="w/b", value=b"2"))
        watch.wait("the change", lambda: len(watch.messages) == 2)
        change = watch.messages[1]
        assert (change.reset, [(entry.key, entry.value) for entry in change.upserts]) == (False, [("w/b", b"2")])
        kv.Delete(kv_pb2.KVDeleteRequest(key="w/a"))
        watch.wait("the end of a key", lambda: list(watch.messages[-1].deletes) == ["w/a"])
        one.wait("the end of the key", lambda: len(one.messages) == 2)
        assert list(one.messages[1].deletes) == ["w/a"]
    kv.Put(kv_pb2.KVPutRequest(key="w/c", value=b"3"))
    kv.Delete(kv_pb2.KVDeleteRequest(key="w/b"))
    resumed = kv_pb2.KVWatchRequest(prefix="w/", options=query_pb2.WatchOptions(resume_index=change.index))
    with Stream(kv.Watch(resumed)) as again:
        again.wait("what was missed", lambda: len(again.messages) == 1)
        news = again.messages[0]
        assert (news.reset, [entry.key for entry in news.upserts]) == (False, ["w/c"])
        assert sorted(news.deletes) == ["w/a", "w/b"]
    kv.Delete(kv_pb2.KVDeleteRequest(key="w/", recurse=True))


def test_instances_services_and_events_stream(agents: tuple[Agent, Agent], channel: grpc.Channel) -> None:
    server = agents[0]
    health, catalog = health_pb2_grpc.HealthStub(channel), catalog_pb2_grpc.CatalogStub(channel)
    events = event_pb2_grpc.EventsStub(channel)
    request = health_pb2.HealthWatchRequest(service="pay", passing_only=True, tags=["v1"])
    heard = events.Watch(event_pb2.EventWatchRequest(name="deploy"))
    with (
        Stream(health.Watch(request)) as instances,
        Stream(catalog.Watch(catalog_pb2.ServicesWatchRequest())) as services,
        Stream(heard) as news,
    ):
        heard.initial_metadata()
        instances.wait("the state", lambda: len(instances.messages) == 1)
        server.put("/v1/agent/service/register", {"Name": "pay", "Port": 1, "Tags": ["v1"]})
        instances.wait("the instance", lambda: len(instances.messages) == 2)
        assert instances.messages[1].upserts[0].service.port == 1
        services.wait("the name", lambda: any(row.name == "pay" for row in services.messages[-1].upserts))
        server.put("/v1/agent/service/deregister/pay")
        instances.wait("its end", lambda: len(instances.messages) == 3)
        (key,) = instances.messages[2].deletes
        assert (key.node, key.service_id) == ("gs", "pay")
        fired = events.Fire(event_pb2.EventFireRequest(name="deploy", payload=b"x")).event
        events.Fire(event_pb2.EventFireRequest(name="other"))
        # Gossip may bring an older event to this agent only now.
        news.wait("the event", lambda: any(event.id == fired.id for event in news.messages))
        assert {(event.name, event.payload) for event in news.messages} == {("deploy", b"x")}
        listed = events.List(event_pb2.EventListRequest(name="deploy")).events
        assert listed[-1].id == fired.id


def test_health_and_reflection_are_on(channel: grpc.Channel) -> None:
    names = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    assert {f"lictor.v1.{name}" for name in ("KV", "Catalog", "Health", "Sessions", "Events")} <= names
    check = grpc_health_pb2_grpc.HealthStub(channel).Check(grpc_health_pb2.HealthCheckRequest(service="lictor.v1.KV"))
    assert check.status == grpc_health_pb2.HealthCheckResponse.SERVING


def run_example(name: str, *arguments: str) -> str:
    argv = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_of_keys_runs(agents: tuple[Agent, Agent]) -> None:
    assert run_example("keys.py", target(agents[1])).splitlines() == [
        "example/color blue",
        "changed True",
        "example/color",
        "locked True fencing number 1",
        "NOT_FOUND",
    ]


def lines_until(argv: list[str], wanted: Callable[[str], bool], meanwhile: Callable[[], object]) -> None:
    """Runs a program that prints without end until a line is the wanted one, after its first line and `meanwhile`."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        timer = threading.Timer(DEADLINE_S, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            seen = [process.stdout.readline()]
            meanwhile()
            for line in process.stdout:
                seen.append(line)
                if wanted(line):
                    return
            raise AssertionError(f"the program ended: {seen}")
        finally:
            timer.cancel()
            process.send_signal(signal.SIGKILL)


def test_the_example_of_a_service_follows_it(agents: tuple[Agent, Agent]) -> None:
    argv = [sys.executable, str(EXAMPLES / "watch_service.py"), target(agents[0]), "shown"]
    register = {"Name": "shown", "Port": 4321}
    lines_until(
        argv,
        lambda line: line.endswith("127.0.0.1:4321\n"),
        lambda: agents[0].put("/v1/agent/service/register", register),
    )
    agents[0].put("/v1/agent/service/deregister/shown")


def test_the_example_for_node_follows_keys(agents: tuple[Agent, Agent], tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(node_client("grpc"))
    example = tmp_path / "watch_keys.mjs"
    shutil.copy(EXAMPLES / "watch_keys.mjs", example)
    argv = [need("node"), str(example), target(agents[0]), "node/", str(ROOT / "protos")]
    lines_until(
        argv,
        lambda line: json.loads(line)["keys"] == {"node/x": "hello"},
        lambda: agents[0].put("/v1/kv/node/x", b"hello"),
    )


def test_the_internal_client_lists_and_calls_daemons(agents: tuple[Agent, Agent]) -> None:
    data_dir = str(agents[0].data_dir)
    listed = run_example("internal_client.py", data_dir)
    assert "lictor.v1.Consensus" in listed
    assert "lictor.v1.LocalAgent" in listed
    status = json.loads(run_example("internal_client.py", data_dir, "raftd", "lictor.v1.Consensus/Status"))
    assert status
