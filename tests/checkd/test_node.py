"""Registering, deregistering, TTLs, maintenance, aliases, reaping: the core on its own."""

from __future__ import annotations

import pytest

from checkd.core.definitions import service_definition
from checkd.core.effects import CancelCheck, DropDocument, SaveDocument
from checkd.core.errors import LocalStateError, NotRegistered
from checkd.core.maintenance import NODE_MAINTENANCE_ID, SERVICE_MAINTENANCE_PREFIX
from checkd.core.render import agent_check, whole_agent_service
from tests.checkd.core_node import TimedNode


def test_a_minimal_service_gets_its_defaults() -> None:
    node = TimedNode()
    node.service(Name="web")
    shown = whole_agent_service(node.instance("web"))
    assert shown.pop("ContentHash") == ""
    assert shown == {
        "ID": "web",
        "Service": "web",
        "Tags": [],
        "Meta": {},
        "Port": 0,
        "Address": "",
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
    }


def test_an_address_gets_its_tagged_forms_and_given_ones_stay() -> None:
    node = TimedNode()
    given = {"lan": {"Address": "10.1.1.1", "Port": 1}, "wan_ipv4": {"Address": "9.9.9.9", "Port": 2}}
    node.service(Name="web", Address="10.20.30.40", Port=80, TaggedAddresses=given)
    node.service(Name="six", Address="2001:db8::1", Port=81)
    assert whole_agent_service(node.instance("web"))["TaggedAddresses"] == {
        **given,
        "lan_ipv4": {"Address": "10.20.30.40", "Port": 80},
    }
    assert set(node.instance("six").tagged_addresses) == {"lan_ipv6", "wan_ipv6"}


def test_checks_of_a_service_are_named_after_it() -> None:
    node = TimedNode()
    node.service(ID="a", Name="web", Tags=["t"], Check={"TTL": "1h", "Status": "passing", "Notes": "one"})
    node.service(ID="b", Name="web", Checks=[{"TTL": "1h"}, {"CheckID": "own", "Name": "second", "TTL": "1h"}])
    assert agent_check(node.seen("service:a"), "n1") == {
        "Node": "n1",
        "CheckID": "service:a",
        "Name": "Service 'web' check",
        "Status": "passing",
        "Notes": "one",
        "Output": "",
        "ServiceID": "a",
        "ServiceName": "web",
        "ServiceTags": ["t"],
        "Type": "ttl",
        "Definition": {},
        "CreateIndex": 0,
        "ModifyIndex": 0,
    }
    assert node.seen("service:b:1").status == "critical"
    assert node.seen("own").name == "second"


def test_registering_again_keeps_statuses_and_checks_that_are_not_mentioned() -> None:
    node = TimedNode()
    node.service(Name="web", Checks=[{"CheckID": "one", "TTL": "1h"}, {"CheckID": "two", "TTL": "1h"}])
    node.node.update_ttl("one", "passing", "fine", node.now)
    node.service(Name="web", Port=81, Tags=["new"], Check={"CheckID": "one", "TTL": "1h"})
    assert (node.seen("one").status, node.seen("one").output) == ("passing", "fine")
    assert node.seen("two").service_tags == ("new",)
    assert node.instance("web").port == 81


def test_replacing_checks_removes_those_that_are_not_mentioned() -> None:
    node = TimedNode()
    node.service(Name="web", Checks=[{"CheckID": "one", "TTL": "1h"}, {"CheckID": "two", "TTL": "1h"}])
    node.service(Name="web", Check={"CheckID": "two", "TTL": "1h"}, replace_checks=True)
    assert [entry.check.check_id for entry in node.node.state.live_checks()] == ["two"]


def test_a_file_replaces_the_checks_of_files_and_leaves_those_of_the_api_and_maintenance() -> None:
    node = TimedNode()
    node.file_service(Name="web", Checks=[{"CheckID": "one", "TTL": "1h"}, {"CheckID": "two", "TTL": "1h"}])
    node.check(Name="api", ServiceID="web", TTL="1h")
    node.node.set_maintenance("web", True, "", "", node.now)
    node.file_service(Name="web", Port=81, Checks=[{"CheckID": "two", "TTL": "1h"}])
    left = {entry.check.check_id for entry in node.node.state.live_checks()}
    assert left == {"two", "api", "_service_maintenance:web"}


def test_a_sidecar_is_expanded_and_goes_with_its_service() -> None:
    node = TimedNode()
    node.service(Name="web", Port=8080, Connect={"SidecarService": {}})
    proxy = whole_agent_service(node.instance("web-sidecar-proxy"))
    assert proxy["Kind"] == "connect-proxy" and proxy["Port"] == 21000
    assert proxy["Proxy"] == {
        "DestinationServiceName": "web",
        "DestinationServiceID": "web",
        "LocalServiceAddress": "127.0.0.1",
        "LocalServicePort": 8080,
        "MeshGateway": {},
        "Expose": {},
    }
    listening, alias = node.seen("service:web-sidecar-proxy:1"), node.seen("service:web-sidecar-proxy:2")
    assert (listening.name, listening.kind, listening.status) == ("Connect Sidecar Listening", "tcp", "critical")
    assert (alias.name, alias.status, alias.output) == ("Connect Sidecar Aliasing web", "passing", "No checks found.")
    node.service(Name="web", Port=8081, Connect={"SidecarService": {}})
    assert node.instance("web-sidecar-proxy").port == 21000
    node.node.deregister_service("web", node.now)
    assert list(node.node.state.live_services()) == [] and list(node.node.state.live_checks()) == []


def test_sidecar_ports_are_the_lowest_free_ones_and_can_run_out() -> None:
    node = TimedNode(sidecar_min_port=21000, sidecar_max_port=21001)
    for name in ("a", "b"):
        node.service(Name=name, Connect={"SidecarService": {}})
    assert node.instance("b-sidecar-proxy").port == 21001
    with pytest.raises(LocalStateError, match=r"none left in the configured range \[21000, 21001\]"):
        node.service(Name="c", Connect={"SidecarService": {}})
    assert node.node.state.service("c") is None


def test_a_refused_service_changes_nothing() -> None:
    node = TimedNode()
    version = node.node.state.version
    with pytest.raises(LocalStateError, match="Scripts are disabled on this agent from remote calls"):
        node.service(Name="web", Check={"Args": ["true"], "Interval": "5s"})
    assert node.node.state.version == version and node.collect() == []


def test_scripts_run_where_they_are_allowed() -> None:
    definition = service_definition({"Name": "web", "Check": {"Args": ["true"], "Interval": "5s"}})
    node = TimedNode(local_scripts=True)
    node.node.register_service(definition, node.now, from_file=True)
    with pytest.raises(LocalStateError, match="configure 'enable_script_checks' to true"):
        node.node.register_service(definition, node.now)
    TimedNode(remote_scripts=True, local_scripts=True).node.register_service(definition, node.now)


def test_unknown_ids_are_only_logged_and_empty_ones_refused() -> None:
    node = TimedNode()
    node.node.deregister_service("nope", node.now)
    node.node.deregister_check("nope", node.now)
    with pytest.raises(LocalStateError, match=r"^ServiceID missing$"):
        node.node.deregister_service("", node.now)
    with pytest.raises(LocalStateError, match=r"^CheckID missing$"):
        node.node.deregister_check("", node.now)
    with pytest.raises(LocalStateError, match=r'^ServiceID "nope" does not exist$'):
        node.check(Name="x", TTL="10s", ServiceID="nope")
    with pytest.raises(LocalStateError, match=r'^CheckID "nope" does not have associated TTL$'):
        node.node.update_ttl("nope", "passing", "", node.now)


def test_a_ttl_expires_with_the_last_output_and_an_update_starts_it_anew() -> None:
    node = TimedNode()
    node.check(ID="t", Name="t", TTL="10s", Status="passing")
    node.forward(9)
    node.node.update_ttl("t", "warning", "so so", node.now)
    node.forward(9.9)
    assert node.seen("t").status == "warning"
    node.forward(0.2)
    assert node.seen("t").status == "critical"
    assert node.seen("t").output == "TTL expired (last output before timeout follows): so so"
    node.check(ID="u", Name="u", TTL="10s")
    node.forward(11)
    assert node.seen("u").output == "TTL expired"


def test_long_ttl_outputs_are_cut() -> None:
    node = TimedNode(output_limit_bytes=10)
    node.check(ID="t", Name="t", TTL="10s")
    node.node.update_ttl("t", "passing", "0123456789abc", node.now)
    assert node.seen("t").output == "0123456789 ... (captured 10 of 13 bytes)"


def test_discarded_output_is_empty() -> None:
    node = TimedNode(discard_output=True)
    node.check(ID="t", Name="t", TTL="10s")
    node.node.update_ttl("t", "passing", "secret", node.now)
    assert node.seen("t").output == ""


def test_maintenance_of_a_service_and_of_the_node() -> None:
    node = TimedNode()
    node.service(Name="web", Tags=["a"])
    node.node.set_maintenance("web", True, "", "", node.now)
    node.node.set_maintenance("web", True, "again", "", node.now)
    check = node.seen(SERVICE_MAINTENANCE_PREFIX + "web")
    assert (check.name, check.status, check.kind) == ("Service Maintenance Mode", "critical", "maintenance")
    assert check.notes.startswith("Maintenance mode is enabled for this service, but no reason was provided.")
    node.node.set_maintenance("", True, "broken disk", "", node.now)
    assert node.seen(NODE_MAINTENANCE_ID).notes == "broken disk"
    node.node.set_maintenance("", False, "", "", node.now)
    node.node.set_maintenance("web", False, "", "", node.now)
    node.node.set_maintenance("web", False, "", "", node.now)
    assert list(node.node.state.live_checks()) == []
    with pytest.raises(NotRegistered, match=r'^No service registered with ID "nope"$'):
        node.node.set_maintenance("nope", True, "", "", node.now)


def test_an_alias_follows_its_service_and_the_node_through_a_chain() -> None:
    node = TimedNode()
    node.service(Name="a", Check={"CheckID": "c", "Name": "disk", "TTL": "1h", "Status": "passing"})
    node.service(Name="b", Check={"CheckID": "alias-a", "AliasService": "a"})
    node.service(Name="d", Check={"CheckID": "alias-b", "AliasService": "b"})
    assert (node.seen("alias-a").status, node.seen("alias-a").output) == ("passing", "All checks passing.")
    node.node.update_ttl("c", "critical", "full", node.now)
    assert node.seen("alias-a").output == 'Aliased check "disk" failing: full'
    assert node.seen("alias-b").status == "critical"
    node.node.update_ttl("c", "passing", "", node.now)
    assert node.seen("alias-b").status == "passing"
    node.check(ID="node", Name="node", TTL="1h", Status="warning")
    assert node.seen("alias-b").status == "warning"


def test_a_service_that_stays_critical_is_reaped() -> None:
    node = TimedNode()
    node.service(Name="web", Check={"TTL": "10s", "DeregisterCriticalServiceAfter": "2m"})
    node.service(Name="short", Check={"TTL": "10s", "DeregisterCriticalServiceAfter": "1s"})
    node.service(Name="ok", Check={"CheckID": "ok", "TTL": "1h", "DeregisterCriticalServiceAfter": "2m"})
    node.node.update_ttl("ok", "passing", "", node.now)
    node.forward(59)
    assert node.node.state.service("short") is not None
    node.forward(32)
    assert node.node.state.service("short") is None and node.node.state.service("web") is not None
    node.forward(65)
    assert node.node.state.service("web") is None and node.node.state.service("ok") is not None


def test_the_first_result_is_synced_at_once_and_later_outputs_wait() -> None:
    node = TimedNode(update_interval_ns=300 * 10**9)
    node.check(ID="h", Name="h", HTTP="http://localhost", Interval="10s", Status="critical")
    entry = node.node.state.checks["h"]
    node.node.state.check_synced("h", entry.revision)
    node.forward(10)
    node.run_all("critical", "first")
    assert not entry.in_sync
    node.node.state.check_synced("h", entry.revision)
    node.forward(10)
    node.run_all("critical", "second")
    assert entry.in_sync and entry.check.output == "second"
    node.forward(149)
    assert entry.in_sync
    node.forward(302)
    assert not entry.in_sync


def test_a_change_of_status_is_synced_at_once_and_remembered_with_its_reason() -> None:
    node = TimedNode()
    node.check(ID="h", Name="h", TCP="localhost:1", Interval="1s")
    for status, output in (("passing", "up"), ("critical", "refused"), ("critical", "refused again")):
        node.forward(2)
        node.run_all(status, output)
    flips = [(flip.before, flip.after, flip.reason) for flip in node.node.state.checks["h"].history]
    assert flips == [("passing", "critical", "refused"), ("critical", "passing", "up")]
    assert node.node.state.checks["h"].history[0].shown()["Time"].startswith("2020-09-13T12:26:")


def test_a_result_of_an_older_definition_is_ignored() -> None:
    node = TimedNode()
    node.check(ID="h", Name="h", TCP="localhost:1", Interval="1s")
    node.forward(1)
    node.check(ID="h", Name="h", TCP="localhost:2", Interval="1s")
    node.run_all("passing", "late")
    assert node.seen("h").status == "critical"
    assert any(effect == CancelCheck("h") for effect in node.effects)


def test_registrations_are_persisted_and_forgotten() -> None:
    node = TimedNode()
    node.service(Name="web", Check={"TTL": "10s"})
    node.node.update_ttl("service:web", "passing", "x", node.now)
    node.node.deregister_service("web", node.now)
    node.collect()
    saved = [(e.folder, e.key) for e in node.effects if isinstance(e, SaveDocument)]
    dropped = [(e.folder, e.key) for e in node.effects if isinstance(e, DropDocument)]
    assert saved == [("services", "web"), ("checks", "service:web"), ("checks/state", "service:web")]
    assert dropped == [("checks", "service:web"), ("checks/state", "service:web"), ("services", "web")]
