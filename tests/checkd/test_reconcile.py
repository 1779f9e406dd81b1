"""Anti-entropy converges: whatever node and catalog hold, one comparison and one sending make them equal."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from checkd.core.local_state import LocalState
from checkd.core.reconcile import compare_with_catalog
from checkd.core.records import Check, CheckEntry, Service, ServiceEntry
from checkd.core.render import catalog_check, catalog_service

NODE = {"ID": "id", "TaggedAddresses": {"lan": "127.0.0.1"}, "Meta": {"consul-network-segment": ""}}
IDS = st.sampled_from(["a", "b", "c", "d"])
TAGS = st.lists(st.sampled_from(["x", "y", "z"]), max_size=2).map(tuple)
SERVICES = st.dictionaries(IDS, st.tuples(TAGS, st.integers(0, 2), st.booleans()), max_size=4)
CHECKS = st.dictionaries(
    st.sampled_from(["c1", "c2", "c3", "serf"]),
    st.tuples(st.sampled_from(["passing", "critical"]), st.sampled_from(["", "out"]), st.one_of(st.just(""), IDS)),
    max_size=4,
)


class Remote:
    """The catalog's part about one node, with the API's cascades."""

    def __init__(self, services: dict[str, Any], checks: dict[str, Any]) -> None:
        self.node: dict[str, Any] | None = None
        self.services = {"consul": catalog_service(Service(service_id="consul", name="consul"))}
        self.checks = {"serfHealth": catalog_check(Check(check_id="serfHealth", name="s"), "n1")}
        for service_id, (tags, port, override) in services.items():
            self.services[service_id] = catalog_service(service(service_id, tags, port, override))
        for check_id, (status, output, service_id) in checks.items():
            if not service_id or service_id in self.services:
                self.checks[check_id] = catalog_check(check(check_id, status, output, service_id), "n1")

    def pull_and_push(self, state: LocalState, compare_output: bool) -> int:
        """One full pass; how many requests it took."""
        compare_with_catalog(state, NODE, self.node, self.services, self.checks, compare_output)
        sent = 0
        for service_id in sorted(state.dirty_services):
            entry = state.services[service_id]
            sent += 1
            if entry.deleted:
                self.services.pop(service_id, None)
                for check_id in [k for k, c in self.checks.items() if c["ServiceID"] == service_id]:
                    del self.checks[check_id]
            else:
                self.services[service_id] = copy.deepcopy(catalog_service(entry.service))
            state.service_synced(service_id, entry.revision)
        for check_id in sorted(state.dirty_checks):
            found = state.checks[check_id]
            sent += 1
            if found.deleted:
                self.checks.pop(check_id, None)
            else:
                self.checks[check_id] = catalog_check(found.check, "n1")
            state.check_synced(check_id, found.revision)
        if not state.node_info_in_sync:
            sent += 1
            self.node, state.node_info_in_sync = dict(NODE), True
        return sent


def service(service_id: str, tags: tuple[str, ...], port: int, override: bool) -> Service:
    return Service(service_id=service_id, name=service_id, tags=tags, port=port, enable_tag_override=override)


def check(check_id: str, status: str, output: str, service_id: str) -> Check:
    return Check(check_id=check_id, name=check_id, status=status, output=output, service_id=service_id)


def local_state(services: dict[str, Any], checks: dict[str, Any]) -> LocalState:
    state = LocalState()
    for service_id, (tags, port, override) in services.items():
        state.put_service(ServiceEntry(service(service_id, tags, port, override)))
    for check_id, (status, output, service_id) in checks.items():
        if not service_id or service_id in services:
            state.put_check(CheckEntry(check(check_id, status, output, service_id)))
    return state


@settings(deadline=None, max_examples=300)
@given(SERVICES, CHECKS, SERVICES, CHECKS)
def test_any_node_and_any_catalog_converge_and_then_rest(
    local_services: dict[str, Any],
    local_checks: dict[str, Any],
    remote_services: dict[str, Any],
    remote_checks: dict[str, Any],
) -> None:
    state = local_state(local_services, local_checks)
    remote = Remote(remote_services, remote_checks)
    overridable = {
        service_id: tuple(remote.services[service_id]["Tags"] or ())
        for service_id, (_, _, override) in local_services.items()
        if override and service_id in remote_services
    }
    remote.pull_and_push(state, compare_output=True)
    assert set(remote.services) == {"consul", *local_services}
    expected_checks = {entry.check.check_id for entry in state.live_checks()}
    assert set(remote.checks) == {"serfHealth", *expected_checks}
    for entry in state.live_services():
        assert remote.services[entry.service.service_id] == catalog_service(entry.service)
    for found in state.live_checks():
        assert remote.checks[found.check.check_id] == catalog_check(found.check, "n1")
    for service_id, tags in overridable.items():
        assert state.services[service_id].service.tags == tags
    assert not state.dirty_services and not state.dirty_checks
    assert remote.pull_and_push(state, compare_output=True) == 0


def test_a_difference_of_output_alone_matters_only_when_asked() -> None:
    state = local_state({}, {"c1": ("passing", "new", "")})
    remote = Remote({}, {"c1": ("passing", "old", "")})
    remote.node = dict(NODE)
    state.check_synced("c1", state.checks["c1"].revision)
    assert remote.pull_and_push(state, compare_output=False) == 0
    assert remote.pull_and_push(state, compare_output=True) == 1


def test_an_answer_to_an_older_state_does_not_count() -> None:
    state = local_state({"a": ((), 1, False)}, {})
    revision = state.services["a"].revision
    state.put_service(ServiceEntry(service("a", (), 2, False)))
    state.service_synced("a", revision)
    assert not state.services["a"].in_sync and "a" in state.dirty_services


def test_a_service_registered_again_while_it_is_being_removed_stays() -> None:
    state = local_state({"a": ((), 1, False)}, {})
    revision = state.remove_service("a").revision
    state.put_service(ServiceEntry(service("a", (), 1, False)))
    state.service_synced("a", revision)
    assert state.service("a") is not None and "a" in state.dirty_services
