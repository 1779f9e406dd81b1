"""Query strings, paths and numbers read as Go reads them."""

import pytest

from apid.core.parameters import parse_bool, parse_int, parse_query, parse_uint, raw_bytes, raw_text, unescape_path


def test_parameters_keep_their_order_and_their_empty_values() -> None:
    assert parse_query(b"tag=a&stale&tag=b&x=") == {"tag": ["a", "b"], "stale": [""], "x": [""]}


def test_plus_is_a_blank_and_escapes_are_resolved_once() -> None:
    assert parse_query(b"filter=a+%3D%3D+%2541") == {"filter": ["a == %41"]}


def test_a_pair_with_a_broken_escape_is_left_out() -> None:
    assert parse_query(b"a=%zz&b=1") == {"b": ["1"]}


def test_a_path_is_decoded_once_and_refused_when_an_escape_is_broken() -> None:
    assert unescape_path(b"/v1/kv/a%20b%2520") == "/v1/kv/a b%20"
    assert unescape_path(b"/v1/kv/%") is None


@pytest.mark.parametrize("raw", [b"plain", "é".encode(), b"\xff\xfe", b"a\x00b"])
def test_bytes_of_a_path_survive_being_text(raw: bytes) -> None:
    assert raw_bytes(raw_text(raw)) == raw


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("abc", 'strconv.ParseUint: parsing "abc": invalid syntax'),
        ("-1", 'strconv.ParseUint: parsing "-1": invalid syntax'),
        ("", 'strconv.ParseUint: parsing "": invalid syntax'),
        ("99999999999999999999", 'strconv.ParseUint: parsing "99999999999999999999": value out of range'),
    ],
)
def test_what_is_no_unsigned_number_is_refused_in_gos_words(text: str, error: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_uint(text)
    assert str(refused.value) == error


def test_numbers_and_booleans_are_read() -> None:
    assert parse_uint("18446744073709551615") == (1 << 64) - 1
    assert parse_int("-5") == -5
    assert parse_bool("T") is True
    assert parse_bool("0") is False
    with pytest.raises(ValueError, match=r"strconv\.ParseBool"):
        parse_bool("yes")
