"""What the bodies of access control may be, and how a wrong one is named."""

from __future__ import annotations

from typing import Any

import pytest

from apid.core.decoding import DecodeError, decode
from apid.endpoints.acl import bodies

SECOND_NS = 10**9


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        (bodies.TOKEN, b'{"Description": 5}', "json: cannot unmarshal number into Go struct field "
         ".Description of type string"),
        (bodies.TOKEN, b"[]", "json: cannot unmarshal array into Go value of type "
         "struct { ExpirationTTL interface {}; Hash string; *structs.Alias }"),
        (bodies.TOKEN, b'{"Policies": [{"ID": 5}]}', "json: cannot unmarshal number into Go struct field "
         "ACLTokenPolicyLink.Policies.ID of type string"),
        (bodies.TOKEN, b'{"Type": "client"}', 'json: unknown field "Type"'),
        (bodies.TOKEN, b'{"ExpirationTime": "x"}', 'parsing time "\\"x\\"" as "\\"2006-01-02T15:04:05Z07:00\\"": '
         'cannot parse "x\\"" as "2006"'),
        (bodies.TOKEN, b'{"ExpirationTime": 5}', 'parsing time "5" as "\\"2006-01-02T15:04:05Z07:00\\"": '
         'cannot parse "5" as "\\""'),
        (bodies.ROLE, b"5", "json: cannot unmarshal number into Go value of type "
         "struct { Hash string; *structs.Alias }"),
        (bodies.POLICY, b'{"Datacenters": [5]}', "json: cannot unmarshal number into Go struct field "
         ".Datacenters of type string"),
        (bodies.BINDING_RULE, b'{"Selector": 1}', "json: cannot unmarshal number into Go struct field "
         "ACLBindingRule.Selector of type string"),
        (bodies.QUESTIONS, b'[{"resource": 5}]', "json: cannot unmarshal number into Go struct field "
         "ACLAuthorizationRequest.Resource of type acl.Resource"),
    ],
)  # fmt: skip
def test_a_wrong_body_is_named_as_go_names_it(kind: Any, body: bytes, text: str) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(kind, body)
    assert str(refused.value) == text


@pytest.mark.parametrize(
    ("text", "since_1970_ns"),
    [
        ("1970-01-01T00:00:01Z", SECOND_NS),
        ("1970-01-01T02:00:00.5+02:00", SECOND_NS // 2),
        ("1970-01-01T00:00:00.123456789Z", 123_456_789),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_times_are_read_to_the_nanosecond_and_the_first_one_is_none(text: str, since_1970_ns: int | None) -> None:
    assert decode(bodies.TOKEN, b'{"ExpirationTime": "%s"}' % text.encode()) == {"ExpirationTime": since_1970_ns}


def test_null_is_an_empty_record_in_a_list_and_nothing_elsewhere() -> None:
    assert decode(bodies.TOKEN, b'{"policies": [null], "Roles": null}') == {"Policies": [{}]}


def test_a_time_to_live_is_a_text_or_nanoseconds_and_anything_else_is_none() -> None:
    assert decode(bodies.TOKEN, b'{"ExpirationTTL": "2m"}') == {"ExpirationTTL": 120 * SECOND_NS}
    assert decode(bodies.TOKEN, b'{"ExpirationTTL": 5}') == {"ExpirationTTL": 5}
    assert decode(bodies.TOKEN, b'{"ExpirationTTL": true}') == {"ExpirationTTL": 0}
