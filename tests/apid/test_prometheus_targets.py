"""The catalog in the format of Prometheus' HTTP service discovery."""

import json
from typing import Any

from apid.core.prometheus_targets import group, health, targets
from apid.core.translation import translated
from lictor.state.queries.read import Instance
from lictor.state.rows import Check, Node, Service


def instance(*statuses: str, address: str = "", **service: Any) -> Instance:
    node = Node("id", "n1", "10.0.0.1", "bj", {"wan": "198.51.100.1"}, {"rack-no": "7"})
    checks = [Check("n1", f"c{number}", "check", status) for number, status in enumerate(statuses)]
    return Instance(node, Service("n1", "web-1", "web", address=address, port=8080, **service), checks)


def test_labels_are_those_of_prometheus_own_consul_discovery() -> None:
    made = group(instance("passing", tags=["metrics", "v2"], meta={"metrics_path": "/m", "a.b": "x"}))
    assert made["targets"] == ["10.0.0.1:8080"]
    assert made["labels"] == {
        "__meta_consul_address": "10.0.0.1",
        "__meta_consul_dc": "bj",
        "__meta_consul_health": "passing",
        "__meta_consul_metadata_rack_no": "7",
        "__meta_consul_node": "n1",
        "__meta_consul_service": "web",
        "__meta_consul_service_address": "",
        "__meta_consul_service_id": "web-1",
        "__meta_consul_service_metadata_a_b": "x",
        "__meta_consul_service_metadata_metrics_path": "/m",
        "__meta_consul_service_port": "8080",
        "__meta_consul_tagged_address_wan": "198.51.100.1",
        "__meta_consul_tags": ",metrics,v2,",
    }


def test_the_services_own_address_goes_before_its_nodes_and_ipv6_is_in_brackets() -> None:
    assert group(instance(address="10.1.1.1"))["targets"] == ["10.1.1.1:8080"]
    assert group(instance(address="fd00::1"))["targets"] == ["[fd00::1]:8080"]


def test_health_is_the_worst_status_and_maintenance_goes_before_all() -> None:
    checks = instance("passing", "warning", "critical").checks
    assert [health(checks[:count]) for count in range(4)] == ["passing", "passing", "warning", "critical"]
    maintenance = Check("n1", "_service_maintenance:web-1", "Service Maintenance Mode", "critical")
    assert health([*checks, maintenance]) == "maintenance"


def test_nothing_registered_is_an_empty_list() -> None:
    assert targets([]) == b"[]"


def test_targets_of_another_datacenter_are_translated_to_wan_addresses() -> None:
    tagged = {"wan": {"Address": "203.0.113.5", "Port": 9000}}
    both = targets([instance(), instance(address="10.1.1.1", tagged_addresses=tagged)])
    first, second = json.loads(translated("/v1/prometheus/targets", both))
    assert (first["targets"], first["labels"]["__meta_consul_address"]) == (["198.51.100.1:8080"], "198.51.100.1")
    assert second["targets"] == ["203.0.113.5:9000"]
    assert second["labels"]["__meta_consul_service_port"] == "9000"
