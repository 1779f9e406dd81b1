"""Answers' bodies as Go writes them."""

import base64
import gzip as standard_gzip

import pytest

from apid.core.encoding import accepts_gzip, gzip, indent, to_json


def test_json_is_compact_and_escaped_for_html() -> None:
    assert to_json({"a": "<&>", "b": None}) == b'{"a":"\\u003c\\u0026\\u003e","b":null}'


def test_pretty_json_has_four_blanks_and_a_final_newline() -> None:
    assert indent(b'[{"a":[],"b":{}}]') == b'[\n    {\n        "a": [],\n        "b": {}\n    }\n]\n'


def test_a_small_body_is_compressed_to_the_bytes_that_go_makes() -> None:
    assert base64.b64encode(gzip(b"v")) == b"H4sIAAAAAAAA/yoDBAAA//+EO2RrAQAAAA=="


@pytest.mark.parametrize("size", [0, 1, 2, 10, 100, 1000, 2047, 2048, 2049, 100_000])
def test_every_body_comes_back_from_its_compressed_form(size: int) -> None:
    body = bytes((index * index) % 251 for index in range(size))
    assert standard_gzip.decompress(gzip(body)) == body


@pytest.mark.parametrize(
    ("header", "accepted"),
    [("gzip", True), ("deflate, gzip;q=0.5", True), ("gzip;q=0", False), ("br", False), ("", False), ("*", False)],
)
def test_compression_is_negotiated(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted
