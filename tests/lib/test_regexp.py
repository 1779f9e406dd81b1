"""Clients' regular expressions: RE2's syntax, Go's texts, linear time."""

import time

import pytest

from lictor.regexp import RegexpError, compiled, problem_of


@pytest.mark.parametrize(
    "pattern, text, found",
    [
        ("^n-[0-9]$", "n-1", True),
        ("b$", "ab\n", False),
        ("(?i)ABC", "xabc", True),
        (r"\d", "٣", False),
        (r"\pL", "é", True),
        (r"\Qa.b\E", "a.b", True),
        ("a.b", "a\nb", False),
        ("[[:alpha:]]+", "1x", True),
        (r"a\z", "a", True),
        ("", "", True),
    ],
)
def test_matching_is_that_of_re2(pattern: str, text: str, found: bool) -> None:
    assert compiled(pattern).found_in(text) is found


@pytest.mark.parametrize(
    "pattern, problem",
    [
        ("a(b", "missing closing ): `a(b`"),
        ("a)b", "unexpected ): `a)b`"),
        ("[a", "missing closing ]: `[a`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\x{", r"invalid escape sequence: `\x{`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?<=a)", "invalid or unsupported Perl syntax: `(?<`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("a\udcffb", "invalid UTF-8: `\udcffb`"),
        (r"\pL{1000}", r"expression too large: `\pL{1000}`"),
    ],
)
def test_a_malformed_pattern_is_refused_in_go_s_words(pattern: str, problem: str) -> None:
    assert problem_of(pattern) == f"error parsing regexp: {problem}"
    with pytest.raises(RegexpError):
        compiled(pattern)


def test_groups_that_took_no_part_are_empty() -> None:
    assert compiled("(ü)|(b)").groups("xü") == ("ü", "ü", "")
    assert compiled("a").groups("b") == ()


@pytest.mark.parametrize("pattern", ["(a+)+$b", "(x+x+)+y", "(a|a)*b", "(.*)*c", "((a{0,30}){0,30})*c"])
def test_hostile_patterns_take_linear_time(pattern: str) -> None:
    started_s = time.monotonic()
    assert not compiled(pattern).found_in("ax" * 2_000)
    assert time.monotonic() - started_s < 5
