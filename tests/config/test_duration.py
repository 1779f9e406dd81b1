"""Durations in Go's syntax."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.config import duration


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("300ms", 300_000_000),
        ("1.5h", 5_400_000_000_000),
        ("2h45m", 9_900_000_000_000),
        ("-1s", -1_000_000_000),
        ("1us", 1_000),
        ("7ns", 7),
        (".5s", 500_000_000),
    ],
)
def test_text_is_nanoseconds(text: str, nanoseconds: int) -> None:
    assert duration.parse(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "10", "abc", "1x", "s", "1h-1m", " 1s", "1s ", "9999999h"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(duration.DurationError, match=r"^time: "):
        duration.parse(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (200_000_000, "200ms"),
        (10_000_000_000, "10s"),
        (90_000_000_000, "1m30s"),
        (259_200_000_000_000, "72h0m0s"),
        (1_500, "1.5µs"),
        (1_234_567_890, "1.23456789s"),
        (-5_000_000, "-5ms"),
    ],
)
def test_nanoseconds_are_shown_as_go_does(nanoseconds: int, text: str) -> None:
    assert duration.show(nanoseconds) == text


@given(st.integers(-(1 << 62), 1 << 62))
def test_what_is_shown_reads_back(nanoseconds: int) -> None:
    assert duration.parse(duration.show(nanoseconds)) == nanoseconds
