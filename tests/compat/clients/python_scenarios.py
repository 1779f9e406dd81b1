"""Scenarios for the Python clients, which share one interface: `python python_scenarios.py host:port scenario`.

Runs with whichever `consul` module is on the path, so it imports nothing of ours.
"""

import base64
import json
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import consul

WAIT_S = 10


def until(what: str, condition: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


def kv(client: Any, name: str) -> None:
    assert client.kv.put(f"{name}/a", "one", flags=7)
    assert client.kv.put(f"{name}/b/c", b"\x00\xff")
    index, row = client.kv.get(f"{name}/a")
    assert (row["Value"], row["Flags"], row["Key"]) == (b"one", 7, f"{name}/a") and int(index) > 0, row
    assert client.kv.get(f"{name}/b/c")[1]["Value"] == b"\x00\xff"
    assert [row["Key"] for row in client.kv.get(name, recurse=True)[1]] == [f"{name}/a", f"{name}/b/c"]
    assert client.kv.get(f"{name}/", keys=True, separator="/")[1] == [f"{name}/a", f"{name}/b/"]
    assert client.kv.get(f"{name}/none")[1] is None
    assert client.kv.put(f"{name}/empty", None) and client.kv.get(f"{name}/empty")[1]["Value"] is None
    assert client.kv.get(f"{name}/a", consistency="consistent")[1]["Value"] == b"one"
    assert client.kv.delete(name, recurse=True) and client.kv.get(name, recurse=True)[1] is None


def cas(client: Any, name: str) -> None:
    assert client.kv.put(name, "first", cas=0)
    assert client.kv.put(name, "again", cas=0) is False
    modified = client.kv.get(name)[1]["ModifyIndex"]
    assert client.kv.put(name, "second", cas=modified + 1) is False
    assert client.kv.put(name, "second", cas=modified)
    assert client.kv.delete(name, cas=modified) is False
    assert client.kv.delete(name, cas=client.kv.get(name)[1]["ModifyIndex"])


def locks(client: Any, name: str) -> None:
    mine = client.session.create(name, lock_delay=0, behavior="delete", ttl=10)
    other = client.session.create(name, lock_delay=0)
    assert client.kv.put(name, "mine", acquire=mine)
    assert client.kv.put(name, "other", acquire=other) is False
    row = client.kv.get(name)[1]
    assert (row["Session"], row["LockIndex"]) == (mine, 1), row
    assert client.session.renew(mine)["ID"] == mine
    assert client.session.info(mine)[1]["Behavior"] == "delete"
    assert {mine, other} <= {row["ID"] for row in client.session.list()[1]}
    assert {mine, other} <= {row["ID"] for row in client.session.node("n1")[1]}
    assert client.kv.put(name, "given back", release=mine) and client.kv.put(name, "other", acquire=other)
    assert client.kv.put(name, "given back", release=other) and client.kv.put(name, "mine", acquire=mine)
    assert client.session.destroy(mine) and client.kv.get(name)[1] is None
    assert client.session.destroy(other) and client.session.info(other)[1] is None
    try:
        client.session.renew(other)
    except consul.NotFound:
        return
    raise AssertionError("a destroyed session was renewed")


def catalog(client: Any, name: str) -> None:
    service = {"ID": f"{name}-1", "Service": name, "Tags": ["v1"], "Port": 99}
    check = {"Name": "c", "CheckID": f"{name}-c", "ServiceID": f"{name}-1", "Status": "passing"}
    assert client.catalog.register(name, "10.9.8.7", service=service, check=check)
    assert name in [row["Node"] for row in client.catalog.nodes()[1]]
    assert client.catalog.services()[1][name] == ["v1"]
    (row,) = client.catalog.service(name, tag="v1")[1]
    assert (row["Node"], row["Address"], row["ServicePort"]) == (name, "10.9.8.7", 99)
    assert client.catalog.node(name)[1]["Services"][f"{name}-1"]["Service"] == name
    assert client.catalog.datacenters() == ["bj"]
    assert client.health.checks(name)[1][0]["CheckID"] == f"{name}-c"
    assert client.catalog.deregister(name, service_id=f"{name}-1") and client.catalog.service(name)[1] == []
    assert client.catalog.deregister(name) and client.catalog.node(name)[1] is None


def health(client: Any, name: str) -> None:
    for status in ("passing", "critical"):
        node = f"{name}-{status}"
        check = {"Name": "c", "ServiceID": "s", "Status": status}
        client.catalog.register(node, "10.9.8.6", service={"ID": "s", "Service": name, "Port": 1}, check=check)
    assert len(client.health.service(name)[1]) == 2
    (row,) = client.health.service(name, passing=True)[1]
    assert row["Node"]["Node"] == f"{name}-passing" and row["Checks"][0]["Status"] == "passing"
    assert f"{name}-critical" in [row["Node"] for row in client.health.state("critical")[1]]
    assert client.health.node(f"{name}-critical")[1][0]["Status"] == "critical"


def agent(client: Any, name: str) -> None:
    checked = consul.Check.ttl("30s")
    assert client.agent.service.register(name, service_id=f"{name}-1", port=5, tags=["x"], check=checked)
    assert client.agent.services()[f"{name}-1"]["Port"] == 5
    check_id = f"service:{name}-1"
    assert client.agent.checks()[check_id]["Status"] == "critical"
    for report, status in (("ttl_warn", "warning"), ("ttl_fail", "critical"), ("ttl_pass", "passing")):
        assert getattr(client.agent.check, report)(check_id, notes="why")
        assert client.agent.checks()[check_id]["Status"] == status
    until("passing in the catalog", lambda: client.health.service(name, passing=True)[1])
    assert client.agent.service.maintenance(f"{name}-1", "true", "moving")
    until("not passing in maintenance", lambda: not client.health.service(name, passing=True)[1])
    assert client.agent.service.maintenance(f"{name}-1", "false")
    until("passing again", lambda: client.health.service(name, passing=True)[1])
    assert client.agent.check.register(f"{name}-own", check=consul.Check.ttl("30s"), check_id=f"{name}-own")
    assert f"{name}-own" in client.agent.checks()
    assert client.agent.check.deregister(f"{name}-own")
    assert client.agent.service.deregister(f"{name}-1")
    until("gone from the catalog", lambda: not client.catalog.service(name)[1])
    assert client.agent.self()["Config"]["NodeName"] == "n1"
    assert [member["Name"] for member in client.agent.members()] == ["n1"]


def checks(client: Any, name: str) -> None:
    """Checks that the agent runs: HTTP against the agent itself, TCP to where nobody listens."""
    good = consul.Check.http(f"http://{sys.argv[1]}/v1/status/leader", "100ms", timeout="2s")
    bad = consul.Check.tcp("127.0.0.1", 1, "100ms")
    client.agent.service.register(f"{name}-good", port=1, check=good)
    client.agent.service.register(f"{name}-bad", port=1, check=bad)
    until("the HTTP check passes", lambda: client.health.service(f"{name}-good", passing=True)[1])
    until("the TCP check fails", lambda: "refused" in client.health.checks(f"{name}-bad")[1][0]["Output"])
    client.agent.service.deregister(f"{name}-good")
    client.agent.service.deregister(f"{name}-bad")


def txn(client: Any, name: str) -> None:
    value = base64.b64encode(b"v").decode()
    answer = client.txn.put(
        [
            {"KV": {"Verb": "set", "Key": f"{name}/1", "Value": value}},
            {"KV": {"Verb": "set", "Key": f"{name}/2", "Value": value}},
            {"KV": {"Verb": "get", "Key": f"{name}/1"}},
        ]
    )
    assert [row["KV"]["Key"] for row in answer["Results"]] == [f"{name}/1", f"{name}/2", f"{name}/1"]
    try:
        client.txn.put(
            [
                {"KV": {"Verb": "delete", "Key": f"{name}/1"}},
                {"KV": {"Verb": "check-not-exists", "Key": f"{name}/2"}},
            ]
        )
    except consul.ConsulException as error:
        assert "409" in str(error) and "exists" in str(error), error
    else:
        raise AssertionError("a failing transaction was accepted")
    assert client.kv.get(f"{name}/1")[1]["Value"] == b"v"


def event(client: Any, name: str) -> None:
    fired = client.event.fire(name, "payload")
    assert fired["Name"] == name
    until("the event is listed", lambda: client.event.list(name)[1])
    (row,) = client.event.list(name)[1]
    assert (row["ID"], row["Payload"]) == (fired["ID"], b"payload"), row


def query(client: Any, name: str) -> None:
    client.catalog.register(name, "10.9.8.5", service={"ID": "s", "Service": name, "Tags": ["a"], "Port": 3})
    made = client.query.create(name, name, onlypassing=True, tags=["a"], ttl="10s")
    assert client.query.get(made["ID"])[0]["Service"]["Service"] == name
    assert made["ID"] in [row["ID"] for row in client.query.list()]
    # These clients can only make templates, which are found by name.
    assert client.query.execute(name)["Nodes"][0]["Service"]["Port"] == 3
    assert client.query.execute(f"{name}-longer")["Nodes"][0]["Service"]["Port"] == 3
    assert client.query.explain(name)["Query"]["Name"] == name
    client.query.delete(made["ID"])
    assert made["ID"] not in [row["ID"] for row in client.query.list()]


def blocking(client: Any, name: str) -> None:
    client.kv.put(name, "old")
    index, _ = client.kv.get(name)
    started_s = time.monotonic()
    assert client.kv.get(name, index=index, wait="200ms")[1]["Value"] == b"old"
    assert time.monotonic() - started_s >= 0.2
    writer = threading.Timer(0.3, lambda: consul_client().kv.put(name, "new"))
    writer.start()
    new_index, row = client.kv.get(name, index=index, wait="20s")
    assert row["Value"] == b"new" and int(new_index) > int(index) and time.monotonic() - started_s < 15
    writer.join()
    index, rows = client.health.service(name)
    assert rows == []
    entry = {"ID": "s", "Service": name, "Port": 3}
    writer = threading.Timer(0.3, lambda: consul_client().catalog.register(name, "10.9.8.4", service=entry))
    writer.start()
    assert len(client.health.service(name, index=index, wait="20s")[1]) == 1
    writer.join()


def status(client: Any, name: str) -> None:
    leader = client.status.leader()
    assert leader in client.status.peers()
    assert client.operator.raft_config()["Servers"][0]["Node"] == "n1"
    assert client.coordinate.datacenters()[0]["Datacenter"] == "bj"
    assert client.coordinate.nodes()[1] is not None
    assert name


def access(client: Any, name: str) -> None:
    """Access control as py-consul has it; the client's token may do everything."""
    rules = {"key_prefix": {name: {"policy": "write"}}}
    policy = client.acl.policy.create(name, description="d", rules=rules)
    assert client.acl.policy.read(policy["ID"])["Rules"] == json.dumps(rules)
    assert name in [row["Name"] for row in client.acl.policy.list()]
    role = client.acl.role.create(name, policies_name=[name])
    assert client.acl.role.read_by_name(name)["Policies"] == [{"ID": policy["ID"], "Name": name}]
    token = client.acl.token.create(description="d", policies_name=[name], roles_id=[role["ID"]])
    accessor, secret = token["AccessorID"], token["SecretID"]
    assert client.acl.token.read_self(token=secret)["AccessorID"] == accessor
    assert accessor in [row["AccessorID"] for row in client.acl.token.list()]
    assert client.kv.put(f"{name}/a", "1", token=secret)
    for refused in (
        lambda: client.kv.put("other", "1", token=secret),
        lambda: client.acl.token.list(token=secret),
        lambda: client.acl.policy.list(token="e1d3b1a0-9d64-4f4c-8a44-3d5c3b3ef111"),
    ):
        assert raised(refused) == "ACLPermissionDenied", refused
    clone = client.acl.token.clone(accessor, description="copy")
    assert (clone["Description"], [link["Name"] for link in clone["Policies"]]) == ("copy", [name])
    assert client.acl.token.update(accessor, description="new")["Description"] == "new"
    for gone in (accessor, clone["AccessorID"]):
        assert client.acl.token.delete(gone)
    assert raised(lambda: client.acl.token.read(accessor)) == "ACLPermissionDenied"
    assert client.acl.role.delete(role["ID"]) and client.acl.policy.delete(policy["ID"])
    assert client.acl.auth_method.list() == [] and client.acl.binding_rule.list() == []
    assert raised(lambda: client.acl.bootstrap()) == "ACLPermissionDenied"
    client.kv.delete(name, recurse=True)


def legacy_access(client: Any, name: str) -> None:
    """Access control as python-consul has it: the endpoints of before Consul 1.4."""
    secret = client.acl.create(name=name, rules=f'key "{name}" {{ policy = "write" }}')
    shown = client.acl.info(secret)
    assert (shown["Name"], shown["Type"]) == (name, "client"), shown
    assert secret in [row["ID"] for row in client.acl.list()]
    assert client.kv.put(f"{name}/a", "1", token=secret)
    assert raised(lambda: client.kv.put("other", "1", token=secret)) == "ACLPermissionDenied"
    assert client.acl.update(secret, name=f"{name}-new", rules="") == secret
    assert raised(lambda: client.kv.put(f"{name}/a", "1", token=secret)) == "ACLPermissionDenied"
    clone = client.acl.clone(secret)
    assert client.acl.info(clone)["Name"] == f"{name}-new"
    for gone in (secret, clone):
        assert client.acl.destroy(gone)
    assert client.acl.info(secret) is None
    client.kv.delete(name, recurse=True)


def raised(call: Callable[[], Any]) -> str:
    """The name of the exception that a call ends with."""
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return ""


SCENARIOS = {
    made.__name__: made
    for made in (
        kv, cas, locks, catalog, health, agent, checks, txn, event, query, blocking, status, access, legacy_access
    )
}  # fmt: skip


def consul_client() -> Any:
    host, port = sys.argv[1].split(":")
    token = sys.argv[3] if len(sys.argv) > 3 else None
    return consul.Consul(host=host, port=int(port), token=token)


if __name__ == "__main__":
    SCENARIOS[sys.argv[2]](consul_client(), f"py-{uuid.uuid4().hex[:8]}")
    print("passed")
