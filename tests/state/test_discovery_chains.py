"""Chains of several entries: what is flattened, overridden and refused."""

from __future__ import annotations

from typing import Any

import pytest

from lictor.state.config_decoding import decode_entry
from lictor.state.discovery.compile import Chain, ChainError, chain_dict, compile_chain
from lictor.state.discovery.customization import Overrides

HTTP = {"Kind": "proxy-defaults", "Config": {"protocol": "http"}, "MeshGateway": {"Mode": "local"}}


def _entry(kind: str, name: str, **body: Any) -> dict[str, Any]:
    return {"Kind": kind, "Name": name, **body}


def _chain(service: str, *entries: dict[str, Any], datacenter: str = "dc1", **overrides: Any) -> Chain:
    decoded = [decode_entry(entry) for entry in entries]
    known = {(entry.kind, entry.name): entry.body for entry in decoded}
    return compile_chain(
        lambda kind, name: known.get((kind, name)), service, datacenter, "td", Overrides(**overrides), "dc1"
    )


def test_a_split_that_leads_to_a_splitter_takes_its_splits() -> None:
    inner = _entry("service-splitter", "b", Splits=[{"Weight": 25}, {"Weight": 75, "Service": "c"}])
    outer = _entry("service-splitter", "a", Splits=[{"Weight": 33.33}, {"Weight": 66.67, "Service": "b"}])
    chain = chain_dict(_chain("a", HTTP, inner, outer))
    assert chain["Nodes"]["splitter:a.default"]["Splits"] == [
        {"Weight": 33.33, "NextNode": "resolver:a.default.dc1"},
        {"Weight": 16.67, "NextNode": "resolver:b.default.dc1"},
        {"Weight": 50, "NextNode": "resolver:c.default.dc1"},
    ]
    assert "splitter:b.default" not in chain["Nodes"]


def test_a_weight_of_zero_is_not_shown() -> None:
    splitter = _entry("service-splitter", "a", Splits=[{"Weight": 0}, {"Weight": 100, "Service": "b"}])
    (first, _) = chain_dict(_chain("a", HTTP, splitter))["Nodes"]["splitter:a.default"]["Splits"]
    assert first == {"NextNode": "resolver:a.default.dc1"}


def test_splitters_in_a_circle_are_refused_with_the_way() -> None:
    there = _entry("service-splitter", "a", Splits=[{"Weight": 100, "Service": "b"}])
    back = _entry("service-splitter", "b", Splits=[{"Weight": 100, "Service": "a"}])
    with pytest.raises(ChainError) as caught:
        _chain("a", HTTP, there, back)
    assert str(caught.value) == (
        "detected circular reference: [splitter:a.default -> splitter:b.default -> splitter:a.default]"
    )


def test_a_redirect_may_not_change_the_protocol() -> None:
    redirect = _entry("service-resolver", "old", Redirect={"Service": "web"})
    with pytest.raises(ChainError) as caught:
        _chain("old", redirect, _entry("service-defaults", "web", Protocol="http"))
    assert str(caught.value) == (
        'discovery chain "old" uses inconsistent protocols; service "web" has "http" which is not "tcp"'
    )


def test_defaults_without_a_protocol_mean_tcp_whatever_all_proxies_have() -> None:
    assert _chain("web", HTTP).protocol == "http"
    assert _chain("web", HTTP, _entry("service-defaults", "web")).protocol == "tcp"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"Redirect": {"Datacenter": "dc2"}}, None),
        ({"Subsets": {"v1": {}}}, "subsets"),
        ({"Failover": {"*": {"Service": "b"}}}, "failover"),
    ],
)
def test_external_services_have_no_subsets_and_no_failover(body: dict[str, Any], what: str | None) -> None:
    external = _entry("service-defaults", "web", ExternalSNI="web.example.com")
    problem = what or "redirects"
    with pytest.raises(ChainError, match=f"cannot define {problem} for external services"):
        _chain("web", external, _entry("service-resolver", "web", **body))
    (target,) = _chain("web", external).targets.values()
    assert (target["External"], target["SNI"]) == (True, "web.example.com")


def test_mesh_gateways_are_for_targets_elsewhere() -> None:
    resolver = _entry("service-resolver", "web", Failover={"*": {"Datacenters": ["dc1", "dc2"]}})
    targets = _chain("web", HTTP, resolver).targets
    assert {key: target["MeshGateway"] for key, target in targets.items()} == {
        "web.default.dc1": {},
        "web.default.dc2": {"Mode": "local"},
    }
    assert _chain("web", HTTP, datacenter="dc3").targets["web.default.dc3"]["MeshGateway"] == {"Mode": "local"}


def test_only_overrides_that_change_something_customize_a_chain() -> None:
    assert _chain("web", HTTP, protocol="http", connect_timeout_ns=5 * 10**9).customization_hash == ""
    customized = _chain("web", HTTP, protocol="tcp", mesh_gateway_mode="remote", connect_timeout_ns=9 * 10**9)
    assert (customized.protocol, len(customized.customization_hash)) == ("tcp", 8)
    assert customized.customization_hash != _chain("web", HTTP, protocol="grpc").customization_hash


def test_the_names_of_subsets_are_those_of_hosts() -> None:
    from lictor.state.config_decoding import validate_entry
    from lictor.state.writer import Refused

    for name in ("V1", "v_1", "-v", "v" * 64):
        with pytest.raises(Refused, match="is invalid: must be"):
            validate_entry(decode_entry(_entry("service-resolver", "web", Subsets={name: {}})))
    validate_entry(decode_entry(_entry("service-resolver", "web", Subsets={"v" * 63: {}})))
