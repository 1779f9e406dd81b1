"""One configuration text: strict types, known keys, and merging."""

import pytest

from lictor.config import decode
from lictor.config.errors import ConfigError


def test_keys_match_in_any_case() -> None:
    assert decode.read('{"SERVER": true, "Ports": {"HTTP": 1}}', "json") == {"server": True, "ports": {"http": 1}}


def test_every_unknown_key_is_named_with_its_path() -> None:
    with pytest.raises(ConfigError) as caught:
        decode.read('{"bogus": 1, "service": {"name": "a", "foo": 2}}', "json")
    assert str(caught.value) == (
        "2 errors occurred:\n\t* invalid config key bogus\n\t* invalid config key service.foo\n\n"
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"ports": {"http": "80"}}', "'ports.http' expected type 'int', got unconvertible type 'string'"),
        ('{"node_name": 1}', "'node_name' expected type 'string', got unconvertible type 'float64'"),
        ('{"server": "true"}', "'server' expected type 'bool', got unconvertible type 'string'"),
        ('{"recursors": "1.1.1.1"}', "'recursors': source data must be an array or slice, got string"),
        ('{"ports": 1}', "'ports' expected a map, got 'float64'"),
    ],
)
def test_types_are_strict(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decode.read(text.replace("'", '"'), "json")
    assert str(caught.value) == f"1 error(s) decoding:\n\n* {complaint}"


def test_an_empty_list_says_nothing_whatever_is_wanted() -> None:
    assert decode.read('{"log_file": [], "ports": [], "server": true}', "json") == {"server": True}
    assert decode.read("log_file = []", "hcl") == {}


def test_a_float_for_an_int_is_cut() -> None:
    assert decode.read('{"ports": {"http": 1.5}}', "json") == {"ports": {"http": 1}}


def test_hcl_blocks_become_objects_and_lists() -> None:
    text = 'ports { http = 1 } services { name = "a" check { ttl = "1s" } } services { name = "b" }'
    assert decode.read(text, "hcl") == {
        "ports": {"http": 1},
        "services": [{"name": "a", "check": {"ttl": "1s"}}, {"name": "b"}],
    }


def test_a_labelled_service_block_is_an_unknown_key() -> None:
    with pytest.raises(ConfigError, match=r"invalid config key service\.web"):
        decode.read('service "web" { port = 1 }', "hcl")


def test_camel_case_check_keys_are_taken() -> None:
    text = '{"check": {"ScriptArgs": ["a"], "ServiceID": "s", "TLSSkipVerify": true, "DockerContainerID": "d"}}'
    assert decode.read(text, "json")["check"] == {
        "args": ["a"],
        "service_id": "s",
        "tls_skip_verify": True,
        "docker_container_id": "d",
    }


@pytest.mark.parametrize("text", ["", "{", '{"a": 1,}', "[1]", '{"a" 1}', "nonsense", '{"a": NaN}'])
def test_broken_json_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        decode.read(text, "json")


def test_merging_replaces_scalars_overlays_maps_and_appends_lists() -> None:
    first = {"a": 1, "m": {"x": 1, "y": 1}, "l": [1]}
    second = {"a": 2, "m": {"y": 2, "z": 2}, "l": [2]}
    assert decode.merge(first, second) == {"a": 2, "m": {"x": 1, "y": 2, "z": 2}, "l": [1, 2]}
    assert first == {"a": 1, "m": {"x": 1, "y": 1}, "l": [1]}
