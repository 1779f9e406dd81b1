"""`translate_wan_addrs`: addresses of another datacenter's nodes and services as they are reached from here.

The agent that the client asked translates, whoever made the answer (Consul 1.7: agent/translate_addr.go). Instances
keep their tagged addresses, from which everything is taken; `wan_ipv6` wins over `wan_ipv4`, that over `wan`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from apid.core.encoding import to_json
from apid.core.prometheus_targets import PREFIX, SERVICE_TAGGED_ADDRESS, TAGGED_ADDRESS, host_port

_PREFERRED = (("wan_ipv6", "lan_ipv6"), ("wan_ipv4", "lan_ipv4"), ("wan",))
Record = dict[str, Any]


def _node_address(address: str, tagged: Mapping[str, str] | None) -> str:
    for names in _PREFERRED:
        found = next((tagged[name] for name in names if tagged and name in tagged), "")
        if found:
            return found
    return address


def _service_address(address: str, tagged: Mapping[str, Record] | None) -> str:
    plain = {name: item.get("Address", "") for name, item in (tagged or {}).items()}
    return _node_address(address, plain)


def _service_port(port: int, tagged: Mapping[str, Record] | None) -> int:
    found: int = ((tagged or {}).get("wan") or {}).get("Port", 0)
    return found or port


def _translate_node(node: Record) -> None:
    node["Address"] = _node_address(node["Address"], node.get("TaggedAddresses"))


def _translate_service_node(item: Record) -> None:
    _translate_node(item)
    tagged = item.get("ServiceTaggedAddresses")
    item["ServiceAddress"] = _service_address(item["ServiceAddress"], tagged)
    item["ServicePort"] = _service_port(item["ServicePort"], tagged)


def _translate_instance(item: Record) -> None:
    _translate_node(item["Node"])
    _translate_service(item["Service"])


def _translate_service(service: Record) -> None:
    tagged = service.get("TaggedAddresses")
    service["Address"] = _service_address(service["Address"], tagged)
    service["Port"] = _service_port(service["Port"], tagged)


def _translate_target(group: Record) -> None:
    labels = group["labels"]
    node = _node_address(labels[f"{PREFIX}address"], _tagged(labels, TAGGED_ADDRESS))
    ways = {name: way.rpartition(":") for name, way in _tagged(labels, SERVICE_TAGGED_ADDRESS).items()}
    tagged = {name: {"Address": host.strip("[]"), "Port": int(port)} for name, (host, _, port) in ways.items()}
    service = _service_address(labels[f"{PREFIX}service_address"], tagged)
    port = _service_port(int(labels[f"{PREFIX}service_port"]), tagged)
    labels |= {f"{PREFIX}address": node, f"{PREFIX}service_address": service, f"{PREFIX}service_port": str(port)}
    group["targets"] = [host_port(service or node, port)]


def _tagged(labels: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in labels.items() if name.startswith(prefix)}


def _each(change: Callable[[Record], None]) -> Callable[[Any], None]:
    def all_of(items: list[Record]) -> None:
        for item in items:
            change(item)

    return all_of


def _translate_node_services(found: Record | None) -> None:
    """A node with its services, by ID or as a list."""
    if not found:
        return
    if found.get("Node"):
        _translate_node(found["Node"])
    services: dict[str, Record] | list[Record] = found.get("Services") or []
    for service in services.values() if isinstance(services, dict) else services:
        _translate_service(service)


# What the answers of these paths hold.
_BY_PATH: tuple[tuple[str, Callable[[Any], None]], ...] = (
    ("/v1/catalog/nodes", _each(_translate_node)),
    ("/v1/catalog/service/", _each(_translate_service_node)),
    ("/v1/catalog/connect/", _each(_translate_service_node)),
    ("/v1/catalog/node/", _translate_node_services),
    ("/v1/catalog/node-services/", _translate_node_services),
    ("/v1/health/service/", _each(_translate_instance)),
    ("/v1/health/connect/", _each(_translate_instance)),
    ("/v1/prometheus/targets", _each(_translate_target)),
)


def translated(path: str, body: bytes) -> bytes:
    """The JSON of an answer of another datacenter with its addresses translated; other paths' as it is."""
    for prefix, change in _BY_PATH:
        if path.startswith(prefix):
            answer = msgspec.json.decode(body)
            change(answer)
            return to_json(answer)
    return body


def translated_execution(body: bytes, own_datacenter: str) -> bytes:
    """The same for an executed prepared query, whose answer says where its instances are."""
    answer: Record = msgspec.json.decode(body)
    if answer["Datacenter"] == own_datacenter:
        return body
    _each(_translate_instance)(answer["Nodes"])
    return to_json(answer)
