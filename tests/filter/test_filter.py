"""The filter language: what it keeps and how it complains."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lictor.filter import FilterError, compile_filter
from lictor.filter.fields import CATALOG_NODES, CATALOG_SERVICE, CHECKS, HEALTH_SERVICE

INSTANCE: dict[str, Any] = {
    "Node": {"ID": "", "Node": "n-1", "Address": "10.3.0.1", "Meta": {"zone": "west", "a-b": "c"}},
    "Service": {"Service": "web", "Tags": ["a", "b"], "Port": 8001, "Meta": None, "EnableTagOverride": True},
    "Checks": [{"Status": "passing", "CheckID": "one"}, {"Status": "warning", "CheckID": "two"}],
}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", True),
        ('Node.Address == "10.3.0.1"', True),
        ("Node.Address=='x'", None),
        ("Node.Meta.zone == west", True),
        ("Node.Meta.zone != west", False),
        ("Node.Meta.none == west", False),
        ("Node.Meta.none != west", True),
        ("Node.Meta.none is empty", None),
        ('Node.Meta["a-b"] == c', True),
        ("Node.Meta[`a-b`] == c", True),
        ("zone in Node.Meta", True),
        ("Node.Meta contains zone", True),
        ("none not in Node.Meta", True),
        ("Service.Meta is empty", True),
        ("Service.Meta is not empty", False),
        ("b in Service.Tags", True),
        ("Service.Tags contains b", True),
        ("Service.Tags not contains b", False),
        ("Service.Port == 8001", True),
        ('Service.Port == "0x1f41"', True),
        ("Service.EnableTagOverride == true", True),
        ("Service.Weights.Passing == 0", True),
        ("Checks.Status == warning", True),
        ("Checks.Status == critical", False),
        ("Checks.Status != warning", True),
        ("Checks.Status not matches `^[pw]`", False),
        ("not Checks.Status == warning", False),
        ("Node.Meta.none matches west", True),
        ("Node.Meta.none not matches west", True),
        ("Node.Meta.none in west", None),
        ("Node.Meta.zone not matches `^w`", False),
        ('Node.Meta[ "zone" ] == west', True),
        ('Node.Node == "n-1" and not Node.Address matches `^11\\.`', True),
        ("not == x", None),
        ("Service.Service == not", False),
        ("Node.Node matches `(?i)^N`", True),
        ("Node.Node matches `1\\z`", True),
        ("Node.Node matches `[[:digit:]]$`", True),
        ("Checks.Status != critical", True),
        ("Checks is empty", False),
        ('Node.Node matches "^n-[0-9]$"', True),
        ("Node.Node not matches `x`", True),
        ('"eb" in Service.Service', True),
        ("not Service.Port == 1", True),
        ("Service.Port == 1 or Service.Port == 8001 and Node.Node == x", False),
        ("(Service.Port == 1 or Service.Port == 8001) and Node.Node != x", True),
        ("not not Service.Port == 8001", True),
        ("Service.Service == and", False),
        ('Service.Service == "\\x77eb"', True),
    ],
)
def test_an_expression_keeps_what_it_describes(text: str, kept: bool | None) -> None:
    if kept is None:
        with pytest.raises(FilterError):
            compile_filter(text, HEALTH_SERVICE)
    else:
        assert compile_filter(text, HEALTH_SERVICE)(INSTANCE) is kept


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Bogus == 1", 'Selector "Bogus" is not valid'),
        ("Node ==", "1:8 (7): no match found, expected: "),
        (
            "ServicePort == abc",
            'Failed to coerce value "abc" for selector "ServicePort": strconv.ParseInt: parsing "abc": invalid syntax',
        ),
        ('Address == "unclosed', '1:21 (20): rule "string": Unterminated string literal'),
        ("ID is empty", 'Invalid match operator "Is Empty" for selector "ID"'),
        ("x", '1:2 (1): no match found, expected: "!=", ".", "==", "[", [ \\t\\r\\n] or [a-zA-Z0-9_]'),
        ("(Node == a", '1:11 (10): rule "grouping": Unmatched parentheses'),
        ("Node == 80a", '1:11 (10): rule "number": Invalid number literal'),
        ("NodeMeta[x] == y", '1:10 (9): rule "index": Invalid index'),
        ('NodeMeta["x" == y', '1:14 (13): rule "index": Unclosed index expression'),
        ("a in 5", '1:6 (5): rule "match": Invalid selector'),
        ('Node == "\\q"', '1:9 (8): rule "string": invalid syntax'),
        ("Node ==\n\n a b", "3:4 (12): no match found, expected: "),
        (
            "Node matches `a**`",
            'Failed to compile regular expression "a**": error parsing regexp: '
            "invalid nested repetition operator: `**`",
        ),
        ("any Checks", "1:5 (4): no match found, expected: "),
        ("NodeMeta.n ===", "1:14 (13): no match found, expected: "),
        ("Node == _a", "1:9 (8): no match found, expected: "),
        ("Node == a b", "1:11 (10): no match found, expected: "),
        ('Node matches "("', 'Failed to compile regular expression "(": error parsing regexp: '),
        ("(" * 200 + "Node == a" + ")" * 200, "expression is nested deeper than 100"),
    ],
)
def test_an_invalid_expression_says_where_and_what(text: str, problem: str) -> None:
    with pytest.raises(FilterError) as caught:
        compile_filter(text, CATALOG_SERVICE)
    assert str(caught.value).startswith(problem)


def test_a_selector_is_refused_at_the_part_that_is_unknown() -> None:
    with pytest.raises(FilterError, match='Selector "Nope" is not valid'):
        compile_filter("Nope.x == 1", HEALTH_SERVICE)
    with pytest.raises(FilterError, match=r'Selector "Service\.Nope" is not valid'):
        compile_filter("Service.Nope.x == 1", HEALTH_SERVICE)
    with pytest.raises(FilterError, match='Selector "Definition" is not valid'):
        compile_filter("Definition is empty", CHECKS)
    with pytest.raises(FilterError, match='Selector "CreateIndex" is not valid'):
        compile_filter("CreateIndex == 1", CATALOG_NODES)


WORDS = ["Node", "Node.Meta.zone", "Checks.Status", "Service.Port", "not", "and", "or", "in", "is", "empty", "contains"]
MARKS = ["matches", "(", ")", "==", "!=", '"x"', "`x`", "1", '"', "[", "\\", "\n", " ", "a{99999999999}", "é"]


@given(st.lists(st.sampled_from(WORDS + MARKS), max_size=12), st.sampled_from(["", " "]))
@settings(max_examples=400, deadline=None)
def test_any_text_is_an_expression_or_a_clear_refusal(parts: list[str], between: str) -> None:
    try:
        keep = compile_filter(between.join(parts), HEALTH_SERVICE)
    except FilterError as error:
        assert str(error)
    else:
        assert keep(INSTANCE) in (True, False)
