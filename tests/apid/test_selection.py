"""Filter expressions of requests."""

import pytest

from apid.core.errors import HttpError
from apid.endpoints.selection import parse_late_filter
from lictor.filter import FAILED


def test_an_unknown_selector_of_a_late_filter_is_refused_when_there_is_something_to_filter() -> None:
    keep = parse_late_filter("Foo == 1", "CHECKS")
    assert keep is not None
    with pytest.raises(HttpError) as caught:
        keep({"Name": "a"})
    assert str(caught.value) == 'Selector "Foo" is not valid'


def test_a_late_filter_that_cannot_be_read_is_refused_at_once() -> None:
    with pytest.raises(HttpError) as caught:
        parse_late_filter("bad(", "CHECKS")
    assert str(caught.value).startswith(FAILED)


def test_a_late_filter_keeps_what_it_holds_for() -> None:
    keep = parse_late_filter('Status == "passing"', "CHECKS")
    assert keep is not None
    assert (keep({"Status": "passing"}), keep({"Status": "critical"})) == (True, False)
    assert parse_late_filter("", "CHECKS") is None
