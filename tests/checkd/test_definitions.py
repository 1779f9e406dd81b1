"""Definitions: what is accepted, under which names, and the words of refusals (recorded from Consul 1.7.2)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from checkd.core.definitions import check_definition, service_definition
from checkd.core.duration import format_duration, parse_duration
from checkd.core.errors import InvalidDefinition, LocalStateError
from checkd.core.go_json import parse
from checkd.core.records import service_of
from checkd.core.render import agent_service, catalog_service
from checkd.core.validation import validate_check, validate_service
from lictor.service_faults import meta_fault, weights_fault


def refusal_of_service(body: bytes) -> str:
    with pytest.raises(InvalidDefinition) as caught:
        validate_service(service_definition(parse(body)))
    return str(caught.value)


def refusal_of_check(body: bytes) -> str:
    with pytest.raises(LocalStateError) as caught:
        validate_check(check_definition(parse(body)))
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "Request decode failed: unexpected EOF"),
        (b"", "Request decode failed: EOF"),
        (b"  \n", "Request decode failed: EOF"),
        (b'{"Name": "x"', "Request decode failed: unexpected EOF"),
        (b'{"Name": "x', "Request decode failed: unexpected EOF"),
        (b"xx", "Request decode failed: invalid character 'x' looking for beginning of value"),
        (b"{a:1}", "Request decode failed: invalid character 'a' looking for beginning of object key string"),
        (b'{"a" 1}', "Request decode failed: invalid character '1' after object key"),
        (b'{"Name": "x" "Port"}', "Request decode failed: invalid character '\"' after object key:value pair"),
        (b'{"Tags": ["x" 1]}', "Request decode failed: invalid character '1' after array element"),
        (
            b'{"Check": trux}',
            "Request decode failed: invalid character 'x' in literal true (expecting 'e')",
        ),
        (b"{}", "Missing service name"),
        (b'{"Name": ""}', "Missing service name"),
        (b'{"ID": "x"}', "Missing service name"),
        (
            b'{"Name": "x", "Port": "80"}',
            "Request decode failed: json: cannot unmarshal string into Go struct field .Port of type int",
        ),
        (
            b'{"Name": "x", "Check": {"OutputMaxSize": "10"}}',
            "Request decode failed: json: cannot unmarshal string into Go struct field .Check of type int",
        ),
        (
            b'{"Name": "x", "Weights": {"Passing": "10"}}',
            "Request decode failed: json: cannot unmarshal string into Go struct field "
            "Weights.Weights.Passing of type int",
        ),
        (
            b'{"Name": "x", "Checks": {}}',
            "Request decode failed: json: cannot unmarshal object into Go struct field "
            ".Checks of type structs.CheckTypes",
        ),
        (b'{"Name": "x", "Check": {"TTL": "abc"}}', 'Request decode failed: time: invalid duration "abc"'),
        (b'{"Name": "x", "Check": {"Name": "nothing"}}', "Invalid check: TTL must be > 0 for TTL checks"),
        (
            b'{"Name": "x", "Check": {"HTTP": "http://localhost"}}',
            "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks",
        ),
        (
            b'{"Name": "x", "Check": {"TTL": "10s", "Status": "bogus"}}',
            "Status for checks must 'passing', 'warning', 'critical'",
        ),
        (
            b'{"Name": "x", "Check": {"TTL": "10s", "Interval": "5s", "TCP": "a:1"}}',
            "Invalid check: Interval and TTL cannot both be specified",
        ),
        (b'{"Name": "x", "Weights": {"Passing": -1}}', "Invalid Weights: Passing must be greater than 0"),
        (b'{"Name": "x", "Address": "0.0.0.0"}', "Invalid service address"),
        (b'{"Name": "x", "Address": "::"}', "Invalid service address"),
        (
            b'{"Name": "x", "Meta": {"bad key!": "x"}}',
            "Invalid Service Meta: Couldn't load metadata pair ('bad key!', 'x'): Key contains invalid characters",
        ),
        (b'{"Name": "x", "Nope": 1}', 'Request decode failed: json: unknown field "Nope"'),
        (b'{"Name": "x", "Check": {"Script": "a"}}', 'Request decode failed: json: unknown field "Script"'),
        (
            b'{"Name": "x", "Port": 1, "Connect": {"SidecarService": {"Connect": {"SidecarService": {}}}}}',
            "1 error occurred:\n\t* A SidecarService cannot have a nested SidecarService\n\n",
        ),
        (
            b'{"Kind": "connect-proxy", "Name": "p", "Port": 1}',
            "1 error occurred:\n\t* Proxy.DestinationServiceName must be non-empty for Connect proxy services\n\n",
        ),
        (
            b'{"Kind": "connect-proxy", "Name": "p"}',
            "2 errors occurred:\n\t* Proxy.DestinationServiceName must be non-empty for Connect proxy services\n"
            "\t* Port must be set for a Connect proxy\n\n",
        ),
        (
            b'{"Kind": "connect-proxy", "Name": "p", "Port": 5, "Proxy": {"DestinationServiceName": "x", '
            b'"Upstreams": [{"DestinationName": "a"}]}}',
            "1 error occurred:\n\t* upstream local bind port cannot be zero\n\n",
        ),
    ],
)
def test_a_wrong_service_is_refused_in_consuls_words(body: bytes, text: str) -> None:
    assert refusal_of_service(body) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{}", "Missing check name"),
        (b'{"Name": "x"}', "Invalid check: TTL must be > 0 for TTL checks"),
        (b'{"Name": "x", "TTL": "zz"}', 'Request decode failed: time: invalid duration "zz"'),
        (b'{"Name": "x", "TTL": "10s", "Status": "bad"}', "Bad check status"),
        (b'{"Name": "x", "TTL": "-5s"}', "Invalid check: TTL must be > 0 for TTL checks"),
        (
            b'{"Name": "x", "HTTP": "http://localhost:1"}',
            "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks",
        ),
        (b'{"Name": "x", "Script": "true"}', 'Request decode failed: json: unknown field "Script"'),
        (
            b'{"Name": "x", "AliasService": "a", "Interval": "1s", "TCP": "a:1"}',
            "Invalid check: Interval cannot be set for Alias checks",
        ),
        (
            b'{"Name": "x", "AliasService": "a", "TTL": "1s"}',
            "Invalid check: TTL must be not be set for Alias checks",
        ),
        (b'{"Name": "x", "TTL": "1s", "OutputMaxSize": -1}', "Invalid check: MaxOutputMaxSize must be positive"),
    ],
)
def test_a_wrong_check_is_refused_in_consuls_words(body: bytes, text: str) -> None:
    assert refusal_of_check(body) == text


def test_keys_match_in_any_case_and_under_their_old_names() -> None:
    definition = service_definition(
        {
            "name": "web",
            "ENABLE_TAG_OVERRIDE": True,
            "tagged_addresses": {"lan": {"address": "10.0.0.1", "PORT": 5}},
            "connect": {"sidecar_service": {"proxy": {"local_service_port": 9}}},
            "checks": [{"args": ["true"], "interval": "5s", "tls_skip_verify": True}],
        }
    )
    assert definition.name == "web"
    assert definition.enable_tag_override
    assert definition.tagged_addresses["lan"].port == 5
    assert definition.connect.sidecar is not None
    assert definition.connect.sidecar.proxy == {"LocalServicePort": 9}
    assert definition.checks[0].script_args == ("true",)
    assert definition.checks[0].tls_skip_verify


@pytest.mark.parametrize(("given", "expected_ns"), [("10s", 10**10), (5_000_000_000, 5 * 10**9), (1e9, 10**9)])
def test_durations_are_texts_or_nanoseconds(given: Any, expected_ns: int) -> None:
    assert check_definition({"Name": "x", "TTL": given}).ttl_ns == expected_ns


def test_null_leaves_a_field_at_its_zero_value() -> None:
    definition = service_definition(json.loads('{"Name": "x", "Checks": null, "Tags": null, "Weights": null}'))
    assert definition.checks == () and definition.tags == () and definition.weights is None


def test_the_single_check_comes_before_the_list() -> None:
    definition = service_definition({"Name": "x", "Checks": [{"TTL": "2s"}], "Check": {"TTL": "1s"}})
    assert [check.ttl_ns for check in definition.checks] == [10**9, 2 * 10**9]


@pytest.mark.parametrize(
    ("text", "nanoseconds", "shown"),
    [
        ("10s", 10 * 10**9, "10s"),
        ("1h15m30.918s", 4530918 * 10**6, "1h15m30.918s"),
        ("300ms", 3 * 10**8, "300ms"),
        ("-1.5h", -5400 * 10**9, "-1h30m0s"),
        ("0", 0, "0s"),
        ("1us", 1000, "1µs"),
    ],
)
def test_durations_read_and_print_like_go(text: str, nanoseconds: int, shown: str) -> None:
    assert parse_duration(text) == nanoseconds
    assert format_duration(nanoseconds) == shown


@pytest.mark.parametrize("text", ["", "10", "s", "1x", "1.s.", "."])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^time: "):
        parse_duration(text)


def test_meta_has_limits() -> None:
    assert meta_fault({"a": "b"}) == ""
    assert "more than 64" in meta_fault({str(number): "" for number in range(65)})
    assert "Key is too long (limit: 128 characters)" in meta_fault({"a" * 129: ""})
    assert "Value is too long (limit: 512 characters)" in meta_fault({"a": "b" * 513})
    assert "Key prefix 'consul-' is reserved for internal use" in meta_fault({"consul-x": ""})


def test_weights_have_limits() -> None:
    assert weights_fault(1, 0) == ""
    assert weights_fault(0, 1) == "Passing must be greater than 0"
    assert weights_fault(1, -1) == "Warning must be greater or equal than 0"
    assert weights_fault(65536, 1) == "DNS Weight must be between 0 and 65535"


def test_the_service_of_an_attached_check_is_read_over() -> None:
    definition = service_definition(parse(b'{"Name": "web", "Check": {"TTL": "5s", "ServiceID": "other"}}'))
    assert [check.service_id for check in definition.checks] == [""]


def test_unknown_keys_of_connect_are_read_over_and_those_of_its_sidecar_are_not() -> None:
    assert not service_definition(parse(b'{"Name": "web", "Connect": {"Proxy": {}, "X": 1}}')).connect.native
    body = b'{"Name": "web", "Connect": {"SidecarService": {"X": 1}}}'
    assert refusal_of_service(body) == 'Request decode failed: json: unknown field "X"'


@pytest.mark.parametrize(("body", "meta"), [(b'{"Name": "a"}', None), (b'{"Name": "a", "Meta": {}}', {})])
def test_metadata_that_nobody_gave_is_null_in_the_catalog_and_empty_on_the_agent(
    body: bytes, meta: dict[str, str] | None
) -> None:
    service = service_of(service_definition(parse(body)))
    assert catalog_service(service)["Meta"] == meta
    assert agent_service(service)["Meta"] == {}
