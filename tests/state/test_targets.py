"""All instances together, as monitoring asks for them."""

from __future__ import annotations

from typing import Any

import pytest

from lictor.acl.defaults import DENY
from lictor.acl.enforce import RuleAuthorizer
from lictor.acl.merge import merge
from lictor.acl.rules import parse
from lictor.state.queries import health
from lictor.state.queries.read import ReadOptions
from tests.state.builders import Machine, check, service


@pytest.fixture
def machine() -> Machine:
    made = Machine()
    made.register("n1", service("web", "w1", tags=["metrics"], port=80), check("c1", "critical", "w1"))
    made.register("n2", service("web", "w2", tags=["metrics", "v2"], port=80), check("c2", "passing", "w2", node="n2"))
    made.register("n2", service("api", "a1", tags=[], port=81))
    return made


def ids(machine: Machine, *arguments: Any, **options: Any) -> list[str]:
    return [item.service.id for item in health.targets(machine.txn, *arguments, options=ReadOptions(**options)).value]


def test_instances_of_all_services_or_of_one_by_name_and_node(machine: Machine) -> None:
    assert ids(machine) == ["a1", "w1", "w2"]
    assert ids(machine, "WEB") == ["w1", "w2"]
    assert ids(machine, "never") == []


def test_tags_and_health_narrow_them(machine: Machine) -> None:
    assert ids(machine, "", ["metrics"]) == ["w1", "w2"]
    assert ids(machine, "", ["metrics", "v2"]) == ["w2"]
    assert ids(machine, "", [], True) == ["a1", "w2"]
    assert ids(machine, filter=lambda item: item["Service"]["Port"] == 81) == ["a1"]


def test_only_what_may_be_read_is_shown(machine: Machine) -> None:
    rules = 'service "web" { policy = "read" } node "n2" { policy = "read" }'
    assert ids(machine, authorizer=RuleAuthorizer(merge([parse(rules, 2)]), DENY)) == ["w2"]


def test_the_index_moves_with_whatever_is_registered(machine: Machine) -> None:
    before = health.targets(machine.txn)
    machine.register("n1", None, check("disk", "warning"))
    after = health.targets(machine.txn)
    assert after.index > before.index
    assert machine.topics & set(after.topics)
