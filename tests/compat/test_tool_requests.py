"""The requests of tools that are not run here, as they send them: paths, empty flags, positions and error texts."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import pytest

from tools.agents import Agent, wait_until

TIMEOUT_S = 30


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def index(self) -> int:
        return int(self.headers["X-Consul-Index"])


def send(agent: Agent, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """One request; every status is an answer."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"http://{agent.http}{path}", data=data, method=method, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def get(agent: Agent, path: str, **headers: str) -> Answer:
    return send(agent, "GET", path, **headers)


def put(agent: Agent, path: str, body: Any = None, **headers: str) -> Answer:
    return send(agent, "PUT", path, body, **headers)


def in_catalog(agent: Agent, service: str, count: int = 1) -> None:
    path = f"/v1/catalog/service/{service}"
    wait_until(f"{service} is in the catalog", lambda: len(get(agent, path).json) == count)


def set_later(agent: Agent, path: str, body: bytes) -> threading.Thread:
    """A PUT from another thread a moment from now, while this one blocks."""
    timer = threading.Timer(0.3, lambda: put(agent, path, body))
    timer.start()
    return timer


# Vault: storage and high availability


def test_vault_storage(agent: Agent) -> None:
    for key in ("core/lock", "core/master", "logical/x"):
        assert put(agent, f"/v1/kv/vault/{key}?flags=0", key.encode()).body == b"true"
    assert base64.b64decode(get(agent, "/v1/kv/vault/core/lock?consistent=").json[0]["Value"]) == b"core/lock"
    assert get(agent, "/v1/kv/vault/?keys=&separator=%2F").json == ["vault/core/", "vault/logical/"]
    value = base64.b64encode(b"v").decode()
    operations = [
        {"KV": {"Verb": "set", "Key": "vault/t", "Value": value, "Flags": 0, "Index": 0, "Session": ""}},
        {"KV": {"Verb": "delete", "Key": "vault/core/lock", "Value": None, "Flags": 0, "Index": 0, "Session": ""}},
    ]
    answer = put(agent, "/v1/txn", operations)
    assert (answer.status, answer.json["Errors"], len(answer.json["Results"])) == (200, None, 1)
    assert get(agent, "/v1/kv/vault/core/lock").status == 404
    assert send(agent, "DELETE", "/v1/kv/vault/t").body == b"true"


def test_what_is_too_large_is_refused_in_the_recorded_words(agent: Agent) -> None:
    """Other versions of Consul word it otherwise; Vault looks for their words, not for these."""
    large = b"x" * (512 * 1024 + 1)
    words = "Request body({} bytes) too large, max size: 524288 bytes. See https://www.consul.io/docs/agent/options.html#{}."
    answer = put(agent, "/v1/kv/vault/large", large)
    assert (answer.status, answer.body.decode()) == (413, words.format(len(large), "kv_max_value_size"))
    operations = [{"KV": {"Verb": "set", "Key": "vault/large", "Value": base64.b64encode(large).decode()}}]
    answer = put(agent, "/v1/txn", operations)
    assert (answer.status, answer.body.decode()) == (
        413,
        words.format(len(json.dumps(operations)), "txn_max_req_len"),
    )
    assert get(agent, "/v1/kv/vault/large").status == 404


def test_vault_high_availability(agent: Agent) -> None:
    session = put(agent, "/v1/session/create", {"Name": "Vault Lock", "TTL": "15s", "LockDelay": "1ns"}).json["ID"]
    assert put(agent, f"/v1/kv/vault-ha/lock?acquire={session}&flags=3304740253564472344", b"addr").body == b"true"
    row = get(agent, "/v1/kv/vault-ha/lock?consistent=&wait=15000ms").json[0]
    assert (row["Session"], row["Flags"]) == (session, 3304740253564472344)
    assert put(agent, f"/v1/session/renew/{session}").json[0]["TTL"] == "15s"
    itself = get(agent, "/v1/agent/self").json
    assert itself["Member"]["Addr"] == "127.0.0.1" and itself["Config"]["Datacenter"] == "bj"
    service = {"ID": "vault:1", "Name": "vault", "Tags": ["standby"], "Port": 8200, "EnableTagOverride": False}
    assert put(agent, "/v1/agent/service/register", service).status == 200
    check = {"ID": "vault:1:check", "Name": "Vault Sealed Status", "ServiceID": "vault:1", "TTL": "10s"}
    assert put(agent, "/v1/agent/check/register", {**check, "Status": "critical"}).status == 200
    report = {"Status": "passing", "Output": "Vault Unsealed"}
    assert put(agent, "/v1/agent/check/update/vault:1:check", report).status == 200
    assert get(agent, "/v1/agent/checks").json["vault:1:check"]["Output"] == "Vault Unsealed"
    assert put(agent, f"/v1/kv/vault-ha/lock?release={session}", b"addr").body == b"true"
    assert put(agent, f"/v1/session/destroy/{session}").body == b"true"
    assert put(agent, "/v1/agent/service/deregister/vault:1").status == 200


# Patroni


def test_patroni_recognises_sessions_that_are_refused(agent: Agent) -> None:
    answer = put(agent, "/v1/session/create", {"Name": "p", "TTL": "100000s"})
    assert (answer.status, answer.body.startswith(b"Invalid Session TTL")) == (500, True), answer.body
    gone = "2b7a55a6-0000-4000-8000-4a3dfc8dfb0a"
    answer = put(agent, f"/v1/kv/service/p/leader?acquire={gone}", b"p")
    assert (answer.status, answer.body.startswith(b"invalid session")) == (500, True), answer.body
    answer = put(agent, f"/v1/session/renew/{gone}")
    assert answer.status == 404


# consul-template, envconsul


def test_consul_template_dependencies(agent: Agent) -> None:
    put(agent, "/v1/agent/service/register", {"Name": "ct-web", "Port": 80, "Tags": ["a"]})
    in_catalog(agent, "ct-web")
    first = get(agent, "/v1/health/service/ct-web?near=_agent&passing=1&stale=&tag=a&wait=60000ms")
    assert first.status == 200 and first.json[0]["Service"]["Port"] == 80
    assert first.headers["X-Consul-KnownLeader"] == "true" and int(first.headers["X-Consul-LastContact"]) >= 0
    for path in (
        "/v1/health/connect/ct-web?stale=&wait=60000ms",
        "/v1/catalog/datacenters",
        "/v1/catalog/nodes?near=_agent&stale=&wait=60000ms",
        "/v1/catalog/node/n1?stale=&wait=60000ms",
        "/v1/catalog/services?stale=&wait=60000ms",
        "/v1/catalog/service/ct-web?stale=&wait=60000ms",
    ):
        assert get(agent, path).status == 200, path
    put(agent, "/v1/kv/ct/key", b"1")
    assert get(agent, "/v1/kv/ct/key?stale=&wait=60000ms").json[0]["Key"] == "ct/key"
    row = get(agent, "/v1/kv/ct/?recurse=&stale=&wait=60000ms")
    writer = set_later(agent, "/v1/kv/ct/key2", b"2")
    after = get(agent, f"/v1/kv/ct/?index={row.index}&recurse=&stale=&wait=60000ms")
    writer.join()
    assert [each["Key"] for each in after.json] == ["ct/key", "ct/key2"] and after.index > row.index
    assert get(agent, "/v1/agent/self").json["Config"]["NodeName"] == "n1"
    put(agent, "/v1/agent/service/deregister/ct-web")


# registrator


def test_registrator(agent: Agent) -> None:
    assert get(agent, "/v1/status/leader").json
    service = {
        "ID": "host:web:80",
        "Name": "rg-web",
        "Port": 32768,
        "Tags": [],
        "Address": "127.0.0.1",
        "Check": {
            "HTTP": f"http://{agent.http}/v1/status/leader",
            "Interval": "1s",
            "Timeout": "1s",
            "DeregisterCriticalServiceAfter": "10m",
        },
    }
    assert put(agent, "/v1/agent/service/register", service).status == 200
    assert get(agent, "/v1/agent/services").json["host:web:80"]["Port"] == 32768
    wait_until("the check passes", lambda: get(agent, "/v1/health/service/rg-web?passing").json)
    assert put(agent, "/v1/agent/service/deregister/host:web:80").status == 200
    assert "host:web:80" not in get(agent, "/v1/agent/services").json
    put(agent, "/v1/kv/rg/web/host:web:80", b"127.0.0.1:32768")
    assert send(agent, "DELETE", "/v1/kv/rg/web?recurse=").body == b"true"
    assert get(agent, "/v1/kv/rg/web?recurse=").status == 404


# Spring Cloud Consul


def test_spring_cloud_discovery_and_configuration(agent: Agent) -> None:
    check = {"TTL": "30s", "DeregisterCriticalServiceAfter": "1m"}
    service = {"ID": "sp-1", "Name": "sp-app", "Tags": ["secure=false"], "Meta": {"zone": "a"}, "Port": 8080}
    json_type = {"Content_Type": "application/json; charset=UTF-8"}
    assert put(agent, "/v1/agent/service/register?token=", {**service, "Check": check}, **json_type).body == b""
    assert put(agent, "/v1/agent/check/pass/service:sp-1?token=&note=fine").body == b""
    wait_until("passing", lambda: get(agent, "/v1/health/service/sp-app?passing=true&tag=secure%3Dfalse&token=").json)
    assert len(get(agent, "/v1/health/service/sp-app?passing&wait=2s&token=").json) == 1
    answer = get(agent, "/v1/catalog/services?wait=2s&index=1&token=")
    assert answer.json["sp-app"] == ["secure=false"]
    assert answer.headers["x-consul-knownleader"] == "true" and answer.headers["x-consul-lastcontact"] is not None
    assert get(agent, "/v1/health/checks/sp-app").json[0]["Output"] == "fine"
    assert put(agent, "/v1/agent/service/maintenance/sp-1?enable=true&reason=r").status == 200
    wait_until("out", lambda: not get(agent, "/v1/health/service/sp-app?passing").json)
    assert put(agent, "/v1/agent/service/maintenance/sp-1?enable=false").status == 200
    assert put(agent, "/v1/agent/check/fail/service:sp-1?note=").status == 200
    assert put(agent, "/v1/agent/check/warn/service:sp-1").status == 200
    assert put(agent, "/v1/kv/config/app/a.b", b"v", Content_Type="text/plain").body == b"true"
    found = get(agent, "/v1/kv/config/app/?recurse&token=")
    writer = set_later(agent, "/v1/kv/config/app/a.c", b"w")
    changed = get(agent, f"/v1/kv/config/app/?recurse&wait=55s&index={found.index}&token=")
    writer.join()
    assert len(changed.json) == 2
    assert get(agent, "/v1/kv/config/none/?recurse&token=").status == 404
    assert put(agent, "/v1/agent/service/deregister/sp-1").status == 200


# Traefik, Prometheus, fabio


def test_traefik_pairs_the_two_lists_by_position(agent: Agent) -> None:
    for number in (3, 1, 4, 2):
        node = {"Node": f"pos{number}", "Address": f"10.1.0.{number}"}
        put(agent, "/v1/catalog/register", {**node, "Service": {"ID": f"p{5 - number}", "Service": "pos"}})
    put(agent, "/v1/catalog/register", {**node, "Service": {"ID": "p0", "Service": "pos"}})
    listed = [(row["Node"], row["ServiceID"]) for row in get(agent, "/v1/catalog/service/pos?stale=").json]
    healthy = [(row["Node"]["Node"], row["Service"]["ID"]) for row in get(agent, "/v1/health/service/pos?stale=").json]
    assert len(listed) == 5 and listed == healthy
    for number in (1, 2, 3, 4):
        put(agent, "/v1/catalog/deregister", {"Node": f"pos{number}"})


def test_a_wait_without_an_index_does_not_block(agent: Agent) -> None:
    started_s = time.monotonic()
    for path in (
        "/v1/kv/traefik/probe?consistent=&wait=3000ms",
        "/v1/kv/traefik?consistent=&recurse=&wait=3000ms",
        "/v1/catalog/services?stale=&wait=30000ms",
        "/v1/health/service/none?stale=&wait=30000ms",
    ):
        assert get(agent, path, X_Consul_Token="").status in (200, 404)
    assert time.monotonic() - started_s < 3


def test_an_equal_index_means_that_the_wait_ran_out(agent: Agent) -> None:
    before = get(agent, "/v1/health/service/nobody?tag=a&tag=b&stale=")
    started_s = time.monotonic()
    after = get(agent, f"/v1/health/service/nobody?tag=a&tag=b&stale=&index={before.index}&wait=300ms")
    assert time.monotonic() - started_s >= 0.3
    assert (after.json, after.index) == ([], before.index)


def test_prometheus_discovery(agent: Agent) -> None:
    assert isinstance(get(agent, "/v1/agent/self").json["Config"]["Datacenter"], str)
    services = get(agent, "/v1/catalog/services?stale=&wait=30000ms")
    body = {"Name": "pr-web", "Port": 80, "Tags": ["metrics", "v1"], "Meta": {"metrics_path": "/m"}}
    writer = threading.Timer(0.3, lambda: put(agent, "/v1/agent/service/register", body))
    writer.start()
    changed = get(agent, f"/v1/catalog/services?index={services.index}&stale=&wait=30000ms")
    writer.join()
    assert sorted(changed.json["pr-web"]) == ["metrics", "v1"]
    path = "/v1/health/service/pr-web?stale=&tag=metrics&tag=v1&wait=30000ms"
    first = get(agent, path)
    (row,) = first.json
    assert (row["Service"]["Meta"], row["Node"]["Datacenter"]) == ({"metrics_path": "/m"}, "bj")
    writer = threading.Timer(0.3, lambda: put(agent, "/v1/agent/service/deregister/pr-web"))
    writer.start()
    assert get(agent, f"{path}&index={first.index}").json == []
    writer.join()


def test_fabio_registers_itself_with_a_check_id_of_its_own(agent: Agent) -> None:
    check = {"CheckID": "fabio-ttl", "TTL": "15s", "Status": "passing", "DeregisterCriticalServiceAfter": "1m"}
    service = {"ID": "fabio-1", "Name": "fabio", "Port": 9998, "Checks": [check]}
    assert put(agent, "/v1/agent/service/register", service).status == 200
    report = {"Status": "passing", "Output": ""}
    assert put(agent, "/v1/agent/check/update/fabio-ttl", report).status == 200
    wait_until("listed", lambda: "fabio-ttl" in get(agent, "/v1/health/state/any").body.decode())
    assert put(agent, "/v1/agent/service/deregister/fabio-1").status == 200
    assert "fabio-ttl" not in get(agent, "/v1/agent/checks").json


# consul_exporter, consul-esm, confd


@pytest.mark.parametrize(
    "path",
    [
        "/v1/status/peers",
        "/v1/status/leader",
        "/v1/catalog/nodes?stale=",
        "/v1/agent/members?wan=1",
        "/v1/catalog/services?stale=",
        "/v1/health/state/any?stale=",
        "/v1/health/service/consul?stale=",
    ],
)
def test_consul_exporter(agent: Agent, path: str) -> None:
    answer = get(agent, path)
    assert answer.status == 200 and answer.json


def test_consul_exporter_asks_for_the_local_health_of_a_service(agent: Agent) -> None:
    put(agent, "/v1/agent/service/register", {"Name": "ex-web", "Port": 80})
    answer = get(agent, "/v1/agent/health/service/name/ex-web")
    assert (answer.status, answer.json[0]["AggregatedStatus"]) == (200, "passing")
    put(agent, "/v1/agent/service/deregister/ex-web")


def test_external_service_monitor(agent: Agent) -> None:
    definition = {"HTTP": "http://10.2.0.1/", "Interval": "10s", "Timeout": "5s"}
    registration = {
        "Node": "esm-node",
        "Address": "10.2.0.1",
        "NodeMeta": {"external-node": "true", "external-probe": "true"},
        "Service": {"ID": "esm-1", "Service": "esm-web", "Port": 80},
        "Checks": [{"CheckID": "c", "Name": "c", "ServiceID": "esm-1", "Status": "critical", "Definition": definition}],
    }
    assert put(agent, "/v1/catalog/register", registration).body == b"true"
    (node,) = get(agent, "/v1/catalog/nodes?node-meta=external-node%3Atrue").json
    assert node["Node"] == "esm-node"
    (check,) = get(agent, "/v1/health/state/any?node-meta=external-node%3Atrue").json
    assert check["Definition"]["HTTP"] == "http://10.2.0.1/"
    passing = {"Node": "esm-node", "CheckID": "c", "Name": "c", "ServiceID": "esm-1", "Status": "passing"}
    changed = {"Check": {"Verb": "cas", "Check": {**passing, "ModifyIndex": check["ModifyIndex"]}}}
    assert put(agent, "/v1/txn", [changed]).status == 200
    assert put(agent, "/v1/txn", [changed]).status == 409
    assert get(agent, "/v1/health/service/esm-web?passing").json
    point = {"Vec": [0.0] * 8, "Error": 1.5, "Adjustment": 0, "Height": 1e-05}
    assert put(agent, "/v1/coordinate/update", {"Node": "esm-node", "Coord": point}).status == 200
    partial = {"Node": "esm-node", "Address": "10.2.0.1", "SkipNodeUpdate": True, "Check": {**passing, "Output": "ok"}}
    assert put(agent, "/v1/catalog/register", partial).body == b"true"
    operations = [
        {"Service": {"Verb": "get", "Node": "esm-node", "Service": {"ID": "esm-1"}}},
        {"Node": {"Verb": "delete", "Node": {"Node": "esm-node"}}},
    ]
    assert put(agent, "/v1/txn", operations).status == 200
    assert get(agent, "/v1/health/service/esm-web").json == []


def test_confd_watches_a_prefix_without_saying_how_long(agent: Agent) -> None:
    put(agent, "/v1/kv/confd/a", b"1")
    found = get(agent, "/v1/kv/confd?recurse=")
    writer = set_later(agent, "/v1/kv/confd/b", b"2")
    changed = get(agent, f"/v1/kv/confd?index={found.index}&recurse=")
    writer.join()
    assert len(changed.json) == 2
