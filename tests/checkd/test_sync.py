"""checkd and the catalog: what arrives, how fast, and what survives failures."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from checkd.alias_watch import backoff_s
from lictor.config.runtime import AclConfig, AclTokens
from lictor.pb.lictor.v1 import agent_pb2
from tests.checkd.daemon import NODE_ID, changed, make_config, running
from tests.checkd.fake_apid import FakeApid
from tests.checkd.waiting import until

LOCAL_SYNC_S = 0.03


@pytest.fixture
async def apid(tmp_path: Path) -> AsyncIterator[FakeApid]:
    fake = FakeApid(tmp_path)
    await fake.start()
    yield fake
    await fake.stop()


def arrived(apid: FakeApid, service_id: str) -> Callable[[], bool]:
    """Whether the catalog holds a service."""
    return lambda: service_id in apid.services.get("n1", {})


async def test_the_node_registers_itself_with_all_its_details(tmp_path: Path, apid: FakeApid) -> None:
    config = make_config(tmp_path, node_meta={"rack": "r7"})
    async with running(config):
        node = await until("the node is registered", lambda: apid.nodes.get("n1"))
    assert node == {
        "ID": NODE_ID,
        "Node": "n1",
        "Address": "127.0.0.1",
        "TaggedAddresses": {
            "lan": "127.0.0.1",
            "lan_ipv4": "127.0.0.1",
            "wan": "127.0.0.1",
            "wan_ipv4": "127.0.0.1",
        },
        "Meta": {"consul-network-segment": "", "rack": "r7"},
    }


async def test_a_local_change_is_in_the_catalog_within_thirty_milliseconds(tmp_path: Path, apid: FakeApid) -> None:
    async with running(make_config(tmp_path)) as (_, client):
        await until("the node is registered", lambda: apid.nodes.get("n1"))
        waits = []
        for number in range(20):
            started = time.perf_counter()
            assert (await client.service(Name=f"web{number}", Check={"TTL": "1h"}))[0] == 200
            await until("the service arrives", arrived(apid, f"web{number}"))
            waits.append(time.perf_counter() - started)
        check = apid.checks["n1"]["service:web3"]
    waits.sort()
    assert waits[len(waits) // 2] < LOCAL_SYNC_S, f"median of {waits}"
    assert check["Status"] == "critical" and check["ServiceName"] == "web3" and check["Type"] == "ttl"


async def test_statuses_deregistrations_and_unknown_entries_follow(tmp_path: Path, apid: FakeApid) -> None:
    ghost = {"ID": "ghost", "Service": "ghost"}
    body = {"Node": "n1", "ID": "x", "Address": "a", "TaggedAddresses": {}, "NodeMeta": {}, "Service": ghost}
    await apid.register(body)
    await apid.register({**body, "Service": {"ID": "consul", "Service": "consul"}})
    await apid.register({**body, "Check": {"CheckID": "serfHealth", "ServiceID": ""}})
    await apid.register({**body, "Check": {"CheckID": "old", "ServiceID": ""}})
    async with running(make_config(tmp_path)) as (_, client):
        await client.service(Name="web", Check={"TTL": "1h"})
        await until("the service arrives", lambda: "web" in apid.services["n1"])
        assert set(apid.services["n1"]) == {"consul", "web"}
        await until("unknown checks are gone", lambda: set(apid.checks["n1"]) == {"serfHealth", "service:web"})
        await client.ttl("service:web", "passing", "fine")
        await until("the status arrives", lambda: apid.checks["n1"]["service:web"]["Status"] == "passing")
        assert apid.checks["n1"]["service:web"]["Output"] == "fine"
        assert await client.deregister(service_id="web") == 200
        await until("the service is gone", lambda: set(apid.services["n1"]) == {"consul"})
        await until("its check is gone", lambda: set(apid.checks["n1"]) == {"serfHealth"})


async def test_a_service_removed_from_the_catalog_elsewhere_comes_back(tmp_path: Path, apid: FakeApid) -> None:
    async with running(make_config(tmp_path)) as (_, client):
        await client.service(Name="web")
        await until("the service arrives", lambda: "web" in apid.services.get("n1", {}))
        await apid.deregister({"Node": "n1", "ServiceID": "web"})
        answer = await client.call("Sync", agent_pb2.SyncRequest())
        assert answer.status == 200 and "web" in apid.services["n1"]
        await client.deregister(service_id="web")
        await client.call("Sync", agent_pb2.SyncRequest())
        assert "web" not in apid.services["n1"]


async def test_tags_changed_in_the_catalog_win_where_they_may(tmp_path: Path, apid: FakeApid) -> None:
    async with running(make_config(tmp_path)) as (_, client):
        for name, override in (("open", True), ("shut", False)):
            await client.service(Name=name, Tags=["a"], EnableTagOverride=override)
            await until("the service arrives", arrived(apid, name))
            apid.services["n1"][name]["Tags"] = ["b"]
        await client.call("Sync", agent_pb2.SyncRequest())
        services, _ = await client.snapshot()
    assert services["open"]["Tags"] == ["b"] and apid.services["n1"]["open"]["Tags"] == ["b"]
    assert services["shut"]["Tags"] == ["a"] and apid.services["n1"]["shut"]["Tags"] == ["a"]


async def test_without_a_leader_nothing_is_lost(
    tmp_path: Path, apid: FakeApid, caplog: pytest.LogCaptureFixture
) -> None:
    apid.refuse = {"/v1": (500, "No cluster leader")}
    async with running(make_config(tmp_path)) as (daemon, client):
        await until("the failure is logged", lambda: "failed to sync remote state" in caplog.text)
        assert 'failed to sync remote state: error="No cluster leader"' in caplog.text
        assert await client.service(Name="web", Check={"TTL": "1h", "Status": "passing"}) == (200, "")
        apid.refuse = {}
        daemon.syncer.leader_found()
        await until("the service arrives", lambda: "web" in apid.services.get("n1", {}))
        assert apid.checks["n1"]["service:web"]["Status"] == "passing"


async def test_a_client_agent_is_in_the_catalog_as_soon_as_it_knows_a_server(tmp_path: Path, apid: FakeApid) -> None:
    apid.refuse = {"/v1": (500, "No known Consul servers")}
    async with running(make_config(tmp_path)):
        await until("it was refused", lambda: len(apid.requests) > 1)
        apid.refuse = {}
        await until("the node arrives", lambda: "n1" in apid.nodes)


async def test_a_token_that_a_new_clusters_leader_still_has_to_make_is_waited_for(
    tmp_path: Path, apid: FakeApid, caplog: pytest.LogCaptureFixture
) -> None:
    apid.refuse = {"/v1": (403, "ACL not found")}
    async with running(make_config(tmp_path)):
        await until("it was refused", lambda: len(apid.requests) > 1)
        apid.refuse = {}
        await until("the node arrives", lambda: "n1" in apid.nodes)
    assert "ACL not found" not in caplog.text


async def test_an_apid_that_comes_late_or_is_replaced_gets_what_is_new(tmp_path: Path) -> None:
    async with running(make_config(tmp_path)) as (_, client):
        assert (await client.service(Name="first"))[0] == 200
        for name in ("first", "second"):
            apid = FakeApid(tmp_path)
            await apid.start()
            try:
                await client.service(Name=name, Port=80)
                await until(f"{name} arrives", arrived(apid, name))
            finally:
                await apid.stop()


async def test_a_refused_service_is_tried_again_at_the_next_full_sync_only(
    tmp_path: Path, apid: FakeApid, caplog: pytest.LogCaptureFixture
) -> None:
    line = "Service registration blocked by ACLs: service=web accessorID=accessor of mine"
    async with running(make_config(tmp_path)) as (_, client):
        await until("the node is registered", lambda: apid.nodes.get("n1"))
        apid.refuse = {"/v1/catalog/register": (403, "Permission denied")}
        await client.service(Name="web", token="mine")
        await until("the refusal is logged", lambda: line in caplog.text)
        apid.refuse = {}
        await client.service(Name="other")
        await until("the other arrives", lambda: "other" in apid.services.get("n1", {}))
        assert "web" not in apid.services["n1"]
        await client.call("Sync", agent_pb2.SyncRequest())
        assert "web" in apid.services["n1"]


@pytest.mark.parametrize(
    ("refused", "change", "line"),
    [
        ("register", {"check": {"Name": "up", "TTL": "1h"}}, "Check registration blocked by ACLs: check=up"),
        ("deregister", {"service": "web"}, "Service deregistration blocked by ACLs: service=web"),
        ("deregister", {"check_id": "ttl"}, "Check deregistration blocked by ACLs: check=ttl"),
    ],
)
async def test_what_is_refused_is_logged_with_whose_token_it_was_and_does_not_stop_the_rest(
    tmp_path: Path,
    apid: FakeApid,
    caplog: pytest.LogCaptureFixture,
    refused: str,
    change: dict[str, Any],
    line: str,
) -> None:
    async with running(make_config(tmp_path)) as (_, client):
        await client.service(Name="web")
        await client.check(Name="ttl", TTL="1h")
        await until("both arrive", lambda: "web" in apid.services.get("n1", {}) and "ttl" in apid.checks.get("n1", {}))
        apid.refuse = {f"/v1/catalog/{refused}": (403, "ACL not found")}
        if "check" in change:
            await client.check(token="mine", **change["check"])
        else:
            await client.deregister(service_id=change.get("service", ""), check_id=change.get("check_id", ""))
        await until("the refusal is logged", lambda: f"{line} accessorID=accessor of" in caplog.text)
        apid.refuse = {}
        await client.service(Name="other")
        await until("the other arrives", lambda: "other" in apid.services["n1"])


async def test_a_refused_removal_is_tried_again_with_its_own_token(tmp_path: Path, apid: FakeApid) -> None:
    acl = AclConfig(tokens=AclTokens(default="def"))
    async with running(make_config(tmp_path, acl=acl)) as (_, client):
        await client.service(Name="web", token="mine")
        await client.check(Name="ttl", TTL="1h", token="mine")
        await until("both arrive", lambda: "web" in apid.services.get("n1", {}) and "ttl" in apid.checks.get("n1", {}))
        apid.refuse = {"/v1/catalog/deregister": (403, "Permission denied")}
        apid.requests.clear()
        await client.deregister(service_id="web")
        await client.deregister(check_id="ttl")
        await until("both are refused", lambda: sum("deregister" in path for _, path, _ in apid.requests) == 2)
        await client.call("Sync", agent_pb2.SyncRequest())
        apid.refuse = {}
        apid.requests.clear()
        apid.tokens.clear()
        await client.call("Sync", agent_pb2.SyncRequest())
        sent = [token for (_, path, _), token in zip(apid.requests, apid.tokens, strict=True) if "deregister" in path]
        assert sent == ["mine", "mine"]
        assert "web" not in apid.services["n1"]
        assert "ttl" not in apid.checks["n1"]
        await client.call("Sync", agent_pb2.SyncRequest())
        assert sum("deregister" in path for _, path, _ in apid.requests) == 2


async def test_a_refused_node_is_logged(tmp_path: Path, apid: FakeApid, caplog: pytest.LogCaptureFixture) -> None:
    apid.refuse = {"/v1/catalog/register": (403, "Permission denied")}
    acl = AclConfig(tokens=AclTokens(agent="agt"))
    line = f"Node info update blocked by ACLs: node={NODE_ID} accessorID=accessor of agt"
    async with running(make_config(tmp_path, acl=acl)):
        await until("the refusal is logged", lambda: line in caplog.text)


async def test_each_registration_is_sent_with_its_own_token(tmp_path: Path, apid: FakeApid) -> None:
    acl = AclConfig(tokens=AclTokens(default="def", agent="agt"))
    async with running(make_config(tmp_path, acl=acl)) as (_, client):
        await until("the node is registered", lambda: apid.nodes.get("n1"))
        apid.tokens.clear()
        await client.service(Name="plain")
        await until("it arrives", lambda: "plain" in apid.services.get("n1", {}))
        await client.service(token="mine", Name="own")
        await until("it arrives", lambda: "own" in apid.services["n1"])
        assert apid.tokens == ["def", "mine"]
        apid.tokens.clear()
        await client.call("Sync", agent_pb2.SyncRequest())
        assert set(apid.tokens) == {"agt"}


async def test_a_service_goes_with_its_checks_in_one_request(tmp_path: Path, apid: FakeApid) -> None:
    async with running(make_config(tmp_path)) as (_, client):
        await until("the node is registered", lambda: apid.nodes.get("n1"))
        apid.requests.clear()
        await client.service(Name="web", Checks=[{"TTL": "1h"}, {"TTL": "2h"}])
        await until("it arrives", lambda: len(apid.checks.get("n1", {})) == 2)
        await asyncio.sleep(0)
        assert [(method, path) for method, path, _ in apid.requests] == [("PUT", "/v1/catalog/register")]
        assert apid.requests[0][2]["SkipNodeUpdate"] is True


async def test_an_alias_of_another_node_follows_that_node(tmp_path: Path, apid: FakeApid) -> None:
    other = {"Node": "n2", "ID": "y", "Address": "b", "TaggedAddresses": {}, "NodeMeta": {}}
    bad = {"CheckID": "c", "Name": "disk", "Status": "critical", "Output": "full", "ServiceID": "db"}
    await apid.register({**other, "Service": {"ID": "db", "Service": "db"}, "Check": bad})
    async with running(make_config(tmp_path)) as (daemon, client):
        await client.check(ID="alias", Name="alias", AliasNode="n2", AliasService="db")
        entry = daemon.driver.node.state.checks["alias"]
        await until("it is seen failing", lambda: entry.check.output == 'Aliased check "disk" failing: full')
        await apid.register({**other, "Check": {**bad, "Status": "passing"}})
        await until("it recovers", lambda: entry.check.status == "passing")
    assert [backoff_s(failures) for failures in (1, 3, 4, 5, 20)] == [0.25, 0.25, 2.0, 4.0, 60.0]


async def test_watchers_see_changes_whole_or_as_deltas(tmp_path: Path, apid: FakeApid) -> None:
    async with running(make_config(tmp_path)) as (_, client):
        await client.service(Name="a")
        await client.service(Name="b", Check={"TTL": "1h"})
        whole, deltas = client.watch(deltas=False), client.watch(deltas=True)
        first = await deltas.read()
        assert not first.delta and set(json.loads(first.services_json)) == {"a", "b"}
        assert set(json.loads((await whole.read()).services_json)) == {"a", "b"}
        await client.deregister(service_id="b")
        change = await deltas.read()
        assert change.delta and list(change.removed_services) == ["b"] and list(change.removed_checks) == ["service:b"]
        assert json.loads(change.services_json) == {} and change.version > first.version
        seen = await whole.read()
        while set(json.loads(seen.services_json)) != {"a"}:
            seen = await whole.read()
        whole.cancel()
        deltas.cancel()


async def test_a_reload_touches_only_what_changed(tmp_path: Path, apid: FakeApid) -> None:
    web = {"Name": "web", "Port": 80, "Check": {"CheckID": "w", "TTL": "1h"}}
    old = {"Name": "old", "Connect": {"SidecarService": {}}}
    node_check = {"ID": "n", "Name": "n", "TTL": "1h"}
    config = make_config(tmp_path, services=(web, old), checks=(node_check,))
    async with running(config) as (daemon, client):
        await client.ttl("w", "passing", "kept")
        await client.service(Name="api")
        await until(
            "all arrive", lambda: set(apid.services.get("n1", {})) == {"web", "old", "old-sidecar-proxy", "api"}
        )
        untouched = daemon.driver.node.state.services["web"]
        daemon.reload(changed(config, services=(web, {"Name": "new"}), checks=()))
        services, checks = await client.snapshot()
        assert set(services) == {"web", "new", "api"} and set(checks) == {"w"}
        assert daemon.driver.node.state.services["web"] is untouched
        daemon.reload(changed(config, services=({**web, "Port": 81}, {"Name": "new"}), checks=()))
        services, checks = await client.snapshot()
        assert services["web"]["Port"] == 81
        assert (checks["w"]["Status"], checks["w"]["Output"]) == ("passing", "kept")
        await until("the catalog follows", lambda: set(apid.services["n1"]) == {"web", "new", "api"})


async def test_history_tells_why_a_check_changed(tmp_path: Path, apid: FakeApid) -> None:
    async with running(make_config(tmp_path)) as (_, client):
        await client.check(ID="t", Name="t", TTL="1h")
        await client.ttl("t", "passing", "up")
        await client.ttl("t", "critical", "down")
        answer = await client.call("CheckHistory", agent_pb2.CheckHistoryRequest(check_id="t"))
        flips = json.loads(answer.history_json)
        assert [(flip["From"], flip["To"], flip["Reason"]) for flip in flips] == [
            ("passing", "critical", "down"),
            ("critical", "passing", "up"),
        ]
        assert (await client.call("CheckHistory", agent_pb2.CheckHistoryRequest(check_id="zz"))).status == 404
