"""Configuration entries: forms, validation, and the chains they have to leave sound."""

from __future__ import annotations

from typing import Any

import pytest

from lictor.state import commands as c
from lictor.state.config_decoding import decode_entry, validate_entry
from lictor.state.config_entries import config_body, problem_of
from lictor.state.discovery.compile import chain_dict, compile_chain
from lictor.state.discovery.customization import Overrides
from lictor.state.queries import discovery
from lictor.state.queries.read import QueryError
from lictor.state.writer import Refused
from tests.state.builders import Machine, config


@pytest.mark.parametrize(
    ("kind", "body", "problem"),
    [
        ("service-resolver", {"DefaultSubset": "nope"}, 'DefaultSubset "nope" is not a valid subset'),
        ("service-resolver", {"Redirect": {}}, "Redirect is empty"),
        (
            "service-resolver",
            {"Redirect": {"ServiceSubset": "x"}},
            "Redirect.ServiceSubset defined without Redirect.Service",
        ),
        ("service-resolver", {"Subsets": {"": {}}}, "Subset defined with empty name"),
        ("service-resolver", {"Failover": {"zz": {"Service": "x"}}}, 'Bad Failover["zz"]: not a valid subset'),
        (
            "service-resolver",
            {"Failover": {"*": {}}},
            'Bad Failover["*"] one of Service, ServiceSubset, Namespace, or Datacenters is required',
        ),
        ("service-resolver", {"ConnectTimeout": "-1s"}, "Bad ConnectTimeout '-1s', must be >= 0"),
        ("service-splitter", {"Splits": []}, "no splits configured"),
        ("service-splitter", {"Splits": [{"Weight": 50}]}, "the sum of all split weights must be 100, not 50.000000"),
        (
            "service-splitter",
            {"Splits": [{"Weight": 50}, {"Weight": 50}]},
            'split destination occurs more than once: service="web", subset="", namespace=""',
        ),
        (
            "service-router",
            {"Routes": [{"Match": {"HTTP": {"PathPrefix": "x"}}}]},
            "Route[0] PathPrefix doesn't start with '/': \"x\"",
        ),
        (
            "service-router",
            {"Routes": [{"Match": {"HTTP": {"Header": [{"Name": "a", "Exact": "1", "Prefix": "2"}]}}}]},
            "Route[0] Header[0] should only contain one of Present, Exact, Prefix, Suffix, or Regex",
        ),
        (
            "service-router",
            {"Routes": [{"Match": {"HTTP": {"Methods": ["GET", "get"]}}}]},
            'Route[0] Methods contains "GET" more than once',
        ),
        (
            "service-router",
            {"Routes": [{"Match": {"HTTP": {"PathRegex": "/x"}}, "Destination": {"PrefixRewrite": "/y"}}]},
            "Route[0] cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix",
        ),
        ("proxy-defaults", {}, 'invalid name ("web"), only "global" is supported'),
    ],
)
def test_an_invalid_entry_says_what_is_wrong(kind: str, body: dict[str, Any], problem: str) -> None:
    assert problem_of(kind, "web", config_body(kind, body)) == problem


def test_a_body_has_one_canonical_form() -> None:
    route = {
        "Match": {"HTTP": {"PathPrefix": "/admin", "Methods": ["get"]}},
        "Destination": {"Service": "b", "PrefixRewrite": "/", "RequestTimeout": 5 * 10**9, "NumRetries": 3},
    }
    assert config_body("service-router", {"Routes": [route]}) == {
        "Routes": [
            {
                "Match": {"HTTP": {"PathPrefix": "/admin", "Methods": ["GET"]}},
                "Destination": {
                    "RequestTimeout": "5s",
                    "Service": "b",
                    "Namespace": "default",
                    "PrefixRewrite": "/",
                    "NumRetries": 3,
                },
            }
        ]
    }
    assert config_body("proxy-defaults", {"Config": {"b": 1.0, "a": 1.5}})["Config"] == {"a": 1.5, "b": 1}


def _splitter(name: str, *services: str) -> c.ConfigSet:
    share = 100 / len(services)
    return config("service-splitter", name, Splits=[{"Weight": share, "Service": service} for service in services])


def _defaults(name: str, protocol: str) -> c.ConfigSet:
    return config("service-defaults", name, Protocol=protocol)


def test_an_entry_that_breaks_a_chain_is_refused_and_so_is_taking_away_its_support() -> None:
    machine = Machine()
    assert machine(_splitter("web", "web")) == c.Failed(
        'discovery chain "web" uses a protocol "tcp" that does not permit advanced routing or splitting behavior'
    )
    machine(_defaults("web", "http"))
    assert machine(_splitter("web", "web", "x")) == c.Failed(
        'discovery chain "web" uses inconsistent protocols; service "x" has "tcp" which is not "http"'
    )
    machine(_defaults("web2", "http"))
    assert machine(_splitter("web", "web", "web2")) == c.Outcome(True)
    refused = c.Failed(
        'discovery chain "web" uses inconsistent protocols; service "web2" has "http" which is not "tcp"'
    )
    assert machine(c.ConfigDelete("service-defaults", "web")) == refused
    assert machine(_defaults("web", "tcp")) == refused
    assert machine(config("service-router", "web", Routes=[{"Destination": {"ServiceSubset": "zz"}}])) == c.Failed(
        'service "web" does not have a subset named "zz"'
    )
    assert machine(c.ConfigDelete("service-splitter", "web")) == c.Done()
    assert machine(c.ConfigDelete("service-defaults", "web")) == c.Done()
    assert machine(_defaults("", "http")) == c.Failed("serviceName is required")


def test_a_service_without_entries_resolves_to_itself() -> None:
    machine = Machine()
    read = discovery.chain(machine.txn, "web", "dc1")
    assert read.index == 1
    assert chain_dict(read.value) == {
        "ServiceName": "web",
        "Namespace": "default",
        "Datacenter": "dc1",
        "Protocol": "tcp",
        "StartNode": "resolver:web.default.dc1",
        "Nodes": {
            "resolver:web.default.dc1": {
                "Type": "resolver",
                "Name": "web.default.dc1",
                "Resolver": {"Default": True, "ConnectTimeout": "5s", "Target": "web.default.dc1"},
            }
        },
        "Targets": {
            "web.default.dc1": {
                "ID": "web.default.dc1",
                "Service": "web",
                "Namespace": "default",
                "Datacenter": "dc1",
                "MeshGateway": {},
                "Subset": {},
                "SNI": "web.default.dc1.internal.",
                "Name": "web.default.dc1.internal.",
            }
        },
    }


def test_a_resolver_redirects_selects_a_subset_and_fails_over() -> None:
    machine = Machine()
    machine(config("service-resolver", "old", Redirect={"Service": "web", "Datacenter": "dc2"}))
    subsets = {"v1": {"Filter": "Service.Meta.v == 1"}}
    machine(
        config(
            "service-resolver",
            "web",
            DefaultSubset="v1",
            Subsets=subsets,
            ConnectTimeout="15s",
            Failover={"*": {"Service": "backup", "Datacenters": ["dc3", "dc4"]}},
        )
    )
    read = discovery.chain(machine.txn, "old", "dc1", Overrides(mesh_gateway_mode="local"))
    assert read.index == machine.index
    chain = read.value
    assert chain.start_node == "resolver:v1.web.default.dc2"
    assert chain.nodes[chain.start_node]["Resolver"] == {
        "ConnectTimeout": "15s",
        "Target": "v1.web.default.dc2",
        "Failover": {"Targets": ["backup.default.dc3", "backup.default.dc4"]},
    }
    assert chain.targets["v1.web.default.dc2"]["Subset"] == subsets["v1"]
    assert chain.targets["backup.default.dc3"]["MeshGateway"] == {"Mode": "local"}


def test_redirects_in_a_circle_are_refused() -> None:
    machine = Machine()
    machine(config("service-resolver", "a", Redirect={"Service": "b"}))
    assert machine(config("service-resolver", "b", Redirect={"Service": "a"})) == c.Failed(
        "detected circular resolver redirect: [b.default.dc1 -> a.default.dc1 -> b.default.dc1]"
    )


def test_an_overridden_protocol_that_cannot_route_leaves_the_plain_resolver() -> None:
    machine = Machine()
    machine(_defaults("web", "http"))
    machine(_splitter("web", "web"))
    assert discovery.chain(machine.txn, "web", "dc1").value.start_node == "splitter:web.default"
    plain = discovery.chain(machine.txn, "web", "dc1", Overrides(protocol="tcp")).value
    assert (plain.start_node, plain.protocol) == ("resolver:web.default.dc1", "tcp")
    with pytest.raises(QueryError, match="serviceName is required"):
        discovery.chain(machine.txn, "", "dc1")
    assert compile_chain(lambda kind, name: None, "x", "dc1").protocol == "tcp"


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({}, "Payload does not contain a kind/Kind key at the top level"),
        ({"Kind": "bogus", "Name": "x"}, "invalid config entry kind: bogus"),
        (
            {"Kind": "service-defaults", "Name": "x", "Bogus": 1},
            '1 error occurred:\n\t* invalid config key "Bogus"\n\n',
        ),
        (
            {"Kind": "service-resolver", "Name": "x", "ConnectTimeout": "abc"},
            "1 error(s) decoding:\n\n* error decoding 'ConnectTimeout': time: invalid duration abc",
        ),
        (
            {"Kind": "service-splitter", "Splits": [{"Weight": {}}]},
            "1 error(s) decoding:\n\n* 'Splits[0].Weight' expected type 'float32', "
            "got unconvertible type 'map[string]interface {}'",
        ),
    ],
)
def test_a_payload_that_is_no_entry_is_refused(payload: dict[str, Any], problem: str) -> None:
    with pytest.raises(Refused) as caught:
        decode_entry(payload)
    assert (caught.value.text, caught.value.kind) == (problem, "bad-request")


def test_a_payload_is_read_in_any_case_and_with_weak_types() -> None:
    entry = decode_entry({"kind": "service-defaults", "name": "x", "protocol": 5, "mesh_gateway": {"mode": "local"}})
    assert (entry.kind, entry.name) == ("service-defaults", "x")
    assert entry.body == {"Protocol": "5", "MeshGateway": {"Mode": "local"}, "Expose": {}}
    resolver = decode_entry({"Kind": "service-resolver", "Name": "x", "connect_timeout": "15s"})
    assert resolver.body == {"ConnectTimeout": "15s"}
    validate_entry(resolver)
    with pytest.raises(Refused, match="Redirect is empty"):
        validate_entry(decode_entry({"Kind": "service-resolver", "Name": "x", "Redirect": {}}))


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ([], "'' expected a map, got 'slice'"),
        ({"Kind": None}, "Kind value in payload is not a string"),
        ({"Kind": "service-defaults", "Namespace": "x"}, 'invalid config key "Namespace"'),
        ({"Kind": "service-defaults", "kind": "x"}, 'invalid config key "kind"'),
        ({"Kind": "service-defaults", "Protocol_": "x"}, 'invalid config key "Protocol_"'),
        ({"Kind": "service-defaults", "MeshGateway": "local"}, "'MeshGateway' expected a map, got 'string'"),
        (
            {"Kind": "service-defaults", "Expose": {"Paths": [{"local_path_port": 1}]}},
            'invalid config key "Expose.Paths[0].local_path_port"',
        ),
        ({"Kind": "proxy-defaults", "Config": "x"}, "'Config' expected a map, got 'string'"),
        ({"Kind": "service-resolver", "ConnectTimeout": ""}, "error decoding 'ConnectTimeout': time: "),
    ],
)
def test_what_does_not_fit_an_entry_is_named(payload: Any, problem: str) -> None:
    with pytest.raises(Refused) as caught:
        decode_entry(payload)
    assert problem in caught.value.text


def test_the_defaults_of_all_proxies_have_one_name_whatever_is_given() -> None:
    entry = decode_entry({"Kind": "proxy-defaults", "Name": "x", "Config": {"big": 12345678901234567890}})
    assert (entry.name, entry.body["Config"]) == ("global", {"big": 12345678901234567000})


def test_empty_lists_of_routes_and_splits_are_none() -> None:
    assert decode_entry({"Kind": "service-router", "Routes": []}).body == {"Routes": None}
    assert decode_entry({"Kind": "service-splitter", "Splits": {}}).body == {"Splits": None}


def test_weights_are_kept_to_two_decimals() -> None:
    splits = [{"Weight": 99.999}, {"Weight": 0.001, "Service": "b"}]
    entry = decode_entry({"Kind": "service-splitter", "Name": "a", "Splits": splits})
    assert [split["Weight"] for split in entry.body["Splits"]] == [100, 0]
    uneven = decode_entry({"Kind": "service-splitter", "Name": "a", "Splits": [{"Weight": 12.345}, {"Weight": 87.655}]})
    assert sum(split["Weight"] for split in uneven.body["Splits"]) == pytest.approx(100.01)
