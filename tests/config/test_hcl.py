"""HCL 1: what a configuration file may look like."""

import pytest

from lictor.config import hcl


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# only\n// a /* comment\n/* and\nmore */", {}),
        ('a = "b"', {"a": "b"}),
        ('"a" = "b"', {"a": "b"}),
        ('a = "x\\n\\t\\"\\\\\\u00e9"', {"a": 'x\n\t"\\é'}),
        ("n = 0x1F m = 017 f = 1.5 e = 2e3 s = -4", {"n": 31, "m": 15, "f": 1.5, "e": 2000.0, "s": -4}),
        ("t = true f = false", {"t": True, "f": False}),
        ('l = ["a", "b",]', {"l": ["a", "b"]}),
        ("l = [\n  1,\n  2\n]", {"l": [1, 2]}),
        ("o { a = 1 }", {"o": [{"a": 1}]}),
        ("o = { a = 1, b = 2 }", {"o": [{"a": 1, "b": 2}]}),
        ("o { a = 1 b = 2\n c = 3 }", {"o": [{"a": 1, "b": 2, "c": 3}]}),
        ("s { a = 1 }\ns { a = 2 }", {"s": [{"a": 1}, {"a": 2}]}),
        ("s = [{ a = 1 }, { a = 2 }]", {"s": [{"a": 1}, {"a": 2}]}),
        ('service "web" { port = 1 }', {"service": [{"web": [{"port": 1}]}]}),
        ("t = <<EOT\n one\n  two\nEOT\n", {"t": " one\n  two\n"}),
        ("t = <<-EOT\n  one\n    two\n  EOT\n", {"t": "one\n  two\n"}),
        ('t = "${keep("this")} literally"', {"t": '${keep("this")} literally'}),
        ("a-b.c_d = 1", {"a-b.c_d": 1}),
        ("a = 1\na = 2", {"a": 2}),
        ("a = 1\nb = ", {"a": 1}),
    ],
)
def test_text_means(text: str, expected: dict[str, object]) -> None:
    assert hcl.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('a = "open', "At 1:10"),
        ('a = "b\nc', "At 1:7"),
        ("a b", "At 1:5: key 'a b' expected"),
        ("a\n", "At 2:1"),
        ("s = [{ a 1 }]", "At 1:6: error while trying to parse object within list: At 1:10: expected: IDENT"),
        ("a = [", "At 1:6: unexpected token while parsing list: EOF"),
        ("a {\n b = 1\n", "At 3:2"),
        ("a = [1 2]", "At 1:8"),
        ("= 1", "At 1:1"),
        ("a = <<EOT\nnever closed\n", "At 1:5"),
        ("a = b", "At 1:5"),
        ("a", "At 1:3"),
        ("/* open", "At 1:1"),
        ('a = "\\q"', "At 1:7"),
        ("x = 08", "At 1:5"),
    ],
)
def test_bad_text_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(hcl.HclError, match=f"^{place}"):
        hcl.parse(text)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(hcl.HclError, match="nested more than"):
        hcl.parse("a {" * 500)
    with pytest.raises(hcl.HclError, match="nested more than"):
        hcl.parse("a = " + "[" * 500)
