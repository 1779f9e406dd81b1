"""Bodies decoded as Go decodes them into a struct."""

import pytest

from apid.core.decoding import (
    ANY,
    BASE64,
    BOOL,
    DURATION,
    INT,
    LOOSE_DURATION,
    TEXT,
    TEXT_MAP,
    TEXTS,
    UINT64,
    DecodeError,
    ListOf,
    Struct,
    decode,
)
from lictor.state.gojson import json_error

INNER = Struct("Inner", {"Port": INT})
BODY = Struct(
    "Body",
    {
        "Name": TEXT,
        "Port": INT,
        "On": BOOL,
        "Tags": TEXTS,
        "Every": DURATION,
        "Value": BASE64,
        "Inner": INNER,
        "N": UINT64,
    },
    aliases={"inner_thing": "Inner"},
    ignored=("Old",),
)


def test_keys_match_in_any_case_and_null_leaves_a_field_unset() -> None:
    assert decode(BODY, b'{"name":"x","PORT":5,"tags":null,"inner_thing":{"port":1},"old":3}') == {
        "Name": "x",
        "Port": 5,
        "Inner": {"Port": 1},
    }


def test_durations_are_texts_or_nanoseconds() -> None:
    assert decode(BODY, b'{"Every":"1m"}') == {"Every": 60_000_000_000}
    assert decode(BODY, b'{"Every":5}') == {"Every": 5}


def test_what_follows_the_first_value_is_ignored() -> None:
    assert decode(BODY, b' {"N": 18446744073709551615} trailing') == {"N": (1 << 64) - 1}
    assert decode(BODY, b"null") == {}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "EOF"),
        (b"{", "unexpected EOF"),
        (b'{"Name": "x', "unexpected EOF"),
        (b"x", "invalid character 'x' looking for beginning of value"),
        (b'{"Name" "x"}', "invalid character '\"' after object key"),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        (b'{"On": tru}', "invalid character '}' in literal true (expecting 'e')"),
        (b'{"Foo": 1}', 'json: unknown field "Foo"'),
        (b"\xff{}", "invalid character '\u00ff' looking for beginning of value"),
        (b"\xef\xbb\xbf{}", "invalid character '\u00ef' looking for beginning of value"),
        (b"[" * 20_000, "invalid character '[' exceeded max depth"),
        (b'{"Port": "80"}', "json: cannot unmarshal string into Go struct field Body.Port of type int"),
        (b"[]", "json: cannot unmarshal array into Go value of type structs.Body"),
        (b'{"Every": "abc"}', "time: invalid duration abc"),
        (b'{"Value": "***"}', "illegal base64 data at input byte 0"),
        (b'{"N": -1}', "json: cannot unmarshal number -1 into Go struct field Body.N of type uint64"),
    ],
)
def test_a_wrong_body_is_refused_in_gos_words(body: bytes, text: str) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(BODY, body)
    assert str(refused.value) == text


def test_base64_and_lists_are_decoded() -> None:
    assert decode(ListOf(BODY), b'[{"Value":"aGk="},null]') == [{"Value": b"hi"}, None]


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(DecodeError):
        decode(BODY, b"[" * 200_000)


def test_the_syntax_error_of_control_characters_is_named() -> None:
    assert json_error(b'{"a":"\n"}') == "invalid character '\\n' in string literal"


def test_null_among_elements_is_their_zero() -> None:
    assert decode(BODY, b'{"Tags":["a",null]}') == {"Tags": ["a", ""]}
    assert decode(TEXT_MAP, b'{"a":null}') == {"a": ""}


def test_an_open_ended_struct_lets_unknown_fields_through_and_looks_past_durations_that_are_none() -> None:
    loose = Struct("Loose", {"Every": LOOSE_DURATION}, open_ended=True)
    assert decode(loose, b'{"Other":1,"Every":true}') == {"Every": 0}
    with pytest.raises(DecodeError, match="time: "):
        decode(loose, b'{"Every":"soon"}')


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"Name": "\\ud800x"}', "\ufffdx"),
        (b'{"Name": "\\udc00\\uD800"}', "\ufffd\ufffd"),
        (b'{"Name": "\\ud83d\\ude00"}', "\U0001f600"),
        (b'{"Name": "\xffx"}', "\ufffdx"),
    ],
)
def test_what_is_no_character_becomes_the_replacement_character(body: bytes, name: str) -> None:
    assert decode(BODY, body)["Name"] == name
    assert decode(ANY, body) == {"Name": name}
