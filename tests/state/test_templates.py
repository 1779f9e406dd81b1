"""Templates of prepared queries: what is filled in, and what is no template."""

from __future__ import annotations

import pytest

from lictor.state.templates import FormatProblem, Function, Scope, TemplateProblem, fill

SCOPE = Scope({"name.full": "geo-7", "name.suffix": "7"}, {"match": Function(1, lambda number: f"<{number}>")})


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain $ text", "plain $ text"),
        ("${name.full}!", "geo-7!"),
        ("a${ name.suffix }b${match(1)}", "a7b<1>"),
        ("$${name.full} ${name.suffix}", "${name.full} 7"),
        ("$$${name.suffix} $$ $", "$7 $ $"),
        ("${1 + 2 * 3}", "9"),
        ("${7 / 2} ${-7 / 2} ${-7 % 4} ${1.5 + 1}", "3 -3 -3 2.5"),
        ("${(1 + 2) * name.suffix}", "21"),
        ("${name.suffix*2 + -3/2}", "5"),
        ('${"x${name.suffix}\\"y"}', 'x7"y'),
        ("${match(name.suffix - 5)}", "<2>"),
    ],
)
def test_places_are_filled_in(text: str, filled: str) -> None:
    assert fill(text, SCOPE) == filled


@pytest.mark.parametrize("text", ["${", "${}", "${name.full", "${match(1}", "${1 +}", '${"x}', "${a b}", "${(1}"])
def test_what_does_not_parse_is_no_template(text: str) -> None:
    with pytest.raises(FormatProblem, match="parse error: syntax error"):
        fill(text, SCOPE)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x${nobody}", "1:4: unknown variable accessed: nobody"),
        ("x\n${nobody()}", "2:3: unknown function called: nobody"),
        ("${match()}", "1:3: match: expected 1 arguments, got 0"),
        ("${match(other)}", "1:9: unknown variable accessed: other"),
        ("a${ nobody}", "1:4: unknown variable accessed: nobody"),
        ("${match(name.full) + nobody}", "1:21: unknown variable accessed: nobody"),
        ("${match(name.full)}", '__builtin_StringToInt: strconv.ParseInt: parsing "geo-7": invalid syntax'),
        ("${1 / 0}", "divide by zero"),
    ],
)
def test_what_cannot_be_worked_out_says_where(text: str, problem: str) -> None:
    with pytest.raises(TemplateProblem) as caught:
        fill(text, SCOPE)
    assert str(caught.value) == problem
