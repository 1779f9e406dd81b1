"""Access control of changes in the core: what each needs, which refusal comes first, that a refusal changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from checkd.core.access import Access, Right, RightsNeeded
from checkd.core.definitions import check_definition, service_definition
from checkd.core.errors import LocalStateError
from tests.checkd.core_node import TimedNode

PROXY = {"Kind": "connect-proxy", "Port": 1, "Proxy": {"DestinationServiceName": "web"}}
UNKNOWN = Access(unknown="ACL not found")
Change = Callable[[TimedNode, Access], None]


@pytest.fixture
def timed() -> TimedNode:
    """With the services web (ID w1) and db, the node's check `disk` and web's check `up`."""
    timed = TimedNode()
    timed.service(ID="w1", Name="web", Port=80)
    timed.service(Name="db")
    timed.check(Name="disk", TTL="1h")
    timed.check(Name="up", ServiceID="w1", TTL="1h")
    return timed


def service(**fields: Any) -> Change:
    return lambda timed, access: timed.node.register_service(service_definition(fields), timed.now, access=access)


def check(**fields: Any) -> Change:
    return lambda timed, access: timed.node.register_check(check_definition(fields), timed.now, access=access)


def remove_service(service_id: str) -> Change:
    return lambda timed, access: timed.node.deregister_service(service_id, timed.now, access)


def remove_check(check_id: str) -> Change:
    return lambda timed, access: timed.node.deregister_check(check_id, timed.now, access)


def update(check_id: str) -> Change:
    return lambda timed, access: timed.node.update_ttl(check_id, "passing", "", timed.now, access)


def maintain(service_id: str) -> Change:
    return lambda timed, access: timed.node.set_maintenance(service_id, True, "", "", timed.now, access)


NEEDS: list[tuple[str, Change, list[str]]] = [
    ("a new service: its name", service(Name="api"), ["api"]),
    ("a service in another's place: both names", service(ID="w1", Name="api"), ["api", "web"]),
    ("the same service again: its name, twice", service(ID="w1", Name="web"), ["web", "web"]),
    ("a proxy: its name and whose traffic it takes", service(Name="px", **PROXY), ["px", "web"]),
    ("a check of the node: the node", check(Name="load", TTL="1h"), [""]),
    ("a check of a service: the service", check(Name="port", ServiceID="db", TTL="1h"), ["db"]),
    ("a check of no service that is there: the node", check(Name="port", ServiceID="none", TTL="1h"), [""]),
    ("a check in another's place: both", check(Name="up", TTL="1h"), ["", "web"]),
    ("removing a service: its name", remove_service("w1"), ["web"]),
    ("removing a check of the node: the node", remove_check("disk"), [""]),
    ("removing a check of a service: the service", remove_check("up"), ["web"]),
    ("a check's status: as its removal", update("up"), ["web"]),
    ("the node's maintenance: the node", maintain(""), [""]),
    ("a service's maintenance: its name", maintain("w1"), ["web"]),
]


@pytest.mark.parametrize(("change", "needed"), [pytest.param(*case[1:], id=case[0]) for case in NEEDS])
def test_a_change_says_what_it_needs_and_is_made_once_that_is_granted(
    timed: TimedNode, change: Change, needed: list[str]
) -> None:
    version = timed.node.state.version
    with pytest.raises(RightsNeeded) as refusal:
        change(timed, Access())
    assert [right.service for right in refusal.value.rights] == needed
    assert timed.node.state.version == version
    assert not timed.collect()
    try:
        change(timed, Access([Right(name) for name in needed]))
    except LocalStateError as error:
        assert 'ServiceID "none" does not exist' in str(error)
    else:
        assert timed.collect()


def test_a_right_to_one_thing_is_not_one_to_another(timed: TimedNode) -> None:
    with pytest.raises(RightsNeeded) as refusal:
        service(ID="w1", Name="api")(timed, Access([Right("api"), Right("")]))
    assert refusal.value.rights == [Right("web")]


def test_a_sidecar_is_registered_with_its_own_token(timed: TimedNode) -> None:
    change = service(Name="api", Connect={"SidecarService": {"Token": "t"}})
    with pytest.raises(RightsNeeded) as refusal:
        change(timed, Access(everything=True))
    needed = [Right("api-sidecar-proxy", "t"), Right("api", "t")]
    assert refusal.value.rights == needed
    change(timed, Access(needed, everything=True))
    assert timed.instance("api-sidecar-proxy").kind == "connect-proxy"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (remove_service("none"), 'Unknown service {"none" {}}'),
        (maintain("none"), 'Unknown service {"none" {}}'),
        (remove_check("none"), 'Unknown check "none"'),
        (update("none"), 'Unknown check "none"'),
    ],
)
def test_under_access_control_what_is_not_there_is_an_error_for_all(
    timed: TimedNode, change: Change, text: str
) -> None:
    with pytest.raises(LocalStateError, match="Unknown") as refusal:
        change(timed, Access(everything=True))
    assert (refusal.value.status, str(refusal.value)) == (500, text)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (service(Name=""), "Missing service name"),
        (service(Name="web", Address="0.0.0.0"), "Invalid service address"),
        (service(Name="web", Weights={"Passing": -1}), "ACL not found"),
        (check(Name=""), "Missing check name"),
        (check(Name="x", Status="odd"), "Bad check status"),
        (check(Name="x", TTL="1s", Interval="1s"), "ACL not found"),
        (remove_service("none"), "ACL not found"),
        (update("none"), "ACL not found"),
        (maintain(""), "ACL not found"),
    ],
)
def test_an_unknown_token_comes_after_names_and_before_the_rest(timed: TimedNode, change: Change, text: str) -> None:
    with pytest.raises(LocalStateError) as refusal:
        change(timed, UNKNOWN)
    assert str(refusal.value) == text
