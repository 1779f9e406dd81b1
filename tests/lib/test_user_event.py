"""Which agents keep a user event: by node name, service ID and the service's tags."""

from typing import Any

import pytest

from lictor.regexp import RegexpError
from lictor.user_event import is_meant

SERVICES: dict[str, dict[str, Any]] = {
    "db-1": {"Service": "mysql", "Tags": ["primary", "v2"]},
    "web-1": {"Service": "web", "Tags": None},
}


@pytest.mark.parametrize(
    "node, service, tag, meant",
    [
        ("", "", "", True),
        ("^node-a$", "", "", True),
        ("^node-b", "", "", False),
        ("NODE", "", "", False),
        ("(?i)NODE", "", "", True),
        ("", "^db-", "", True),
        ("", "mysql", "", False),
        ("", "db|web", "^v[0-9]$", True),
        ("", "web", "v2", False),
        ("", "-1$", "secondary", False),
        ("other", "db", "", False),
        ("a", "web", "", True),
    ],
)
def test_an_event_is_for_agents_that_its_filters_match(node: str, service: str, tag: str, meant: bool) -> None:
    assert is_meant(node, service, tag, "node-a", SERVICES) is meant


def test_a_malformed_filter_of_another_agent_is_said() -> None:
    with pytest.raises(RegexpError):
        is_meant("(", "", "", "node-a", SERVICES)
