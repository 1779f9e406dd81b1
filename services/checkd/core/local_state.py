"""The node's services and checks with their synchronisation flags (Consul 1.7: local state).

Rules: a change marks its entry out of sync and grows `version`; a removed entry stays, marked deleted, until the
catalog has forgotten it, too; the catalog's answer to an older state of an entry (`revision`) never marks a newer one
in sync. Entries out of sync are kept in sets, so that a partial sync looks at nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from checkd.core.history import flip
from checkd.core.records import Check, CheckEntry, Moment, Service, ServiceEntry
from checkd.core.status import CRITICAL


class LocalState:
    """Everything registered on this node. `changed` is called after each visible change."""

    def __init__(self, discard_output: bool = False, first_version: int = 1) -> None:
        self.discard_output = discard_output
        self.version = first_version
        # Grows when a check comes, goes or changes its status, not with outputs.
        self.status_version = 1
        self.services: dict[str, ServiceEntry] = {}
        self.checks: dict[str, CheckEntry] = {}
        self._attached: dict[str, dict[str, CheckEntry]] = {}
        self.dirty_services: set[str] = set()
        self.dirty_checks: set[str] = set()
        self.node_info_in_sync = False
        self.changed_services: set[str] = set()
        self.changed_checks: set[str] = set()
        self.on_sync_needed: Callable[[], None] = lambda: None

    def live_services(self) -> Iterator[ServiceEntry]:
        """Entries of services that are registered now."""
        return (entry for entry in self.services.values() if not entry.deleted)

    def live_checks(self) -> Iterator[CheckEntry]:
        """Entries of checks that are registered now."""
        return (entry for entry in self.checks.values() if not entry.deleted)

    def service(self, service_id: str) -> ServiceEntry | None:
        """The entry of a registered service."""
        entry = self.services.get(service_id)
        return None if entry is None or entry.deleted else entry

    def check(self, check_id: str) -> CheckEntry | None:
        """The entry of a registered check."""
        entry = self.checks.get(check_id)
        return None if entry is None or entry.deleted else entry

    def checks_of(self, service_id: str) -> list[CheckEntry]:
        """The checks attached to a service; with an empty ID those of the node."""
        return list(self._attached.get(service_id, {}).values())

    def put_service(self, entry: ServiceEntry) -> None:
        """Register or replace a service."""
        service_id = entry.service.service_id
        previous = self.services.get(service_id)
        entry.revision = previous.revision + 1 if previous is not None else 1
        entry.deleted = False
        self.services[service_id] = entry
        self._dirty_service(service_id, entry)

    def put_check(self, entry: CheckEntry) -> None:
        """Register or replace a check; its service must be registered."""
        check_id = entry.check.check_id
        assert not entry.check.service_id or self.service(entry.check.service_id), "a check's service is registered"
        previous = self.checks.get(check_id)
        entry.revision = previous.revision + 1 if previous is not None else 1
        entry.deleted = False
        if previous is not None and not previous.deleted:
            self._detach(previous)
        self._attached.setdefault(entry.check.service_id, {})[check_id] = entry
        self.status_version += 1
        self.checks[check_id] = entry
        self._dirty_check(check_id, entry)

    def remove_service(self, service_id: str) -> ServiceEntry:
        """Mark a registered service as gone."""
        entry = self.services[service_id]
        assert not entry.deleted, "removed twice"
        entry.deleted = True
        self._dirty_service(service_id, entry)
        return entry

    def remove_check(self, check_id: str) -> CheckEntry:
        """Mark a registered check as gone."""
        entry = self.checks[check_id]
        assert not entry.deleted, "removed twice"
        entry.deleted = True
        self._detach(entry)
        self.status_version += 1
        self._dirty_check(check_id, entry)
        return entry

    def set_check(self, entry: CheckEntry, status: str, output: str, now: Moment, defer_output: bool) -> bool:
        """Take a new status and output; True when a change of the output alone was kept back from the catalog."""
        check = entry.check
        if self.discard_output:
            output = ""
        if status != CRITICAL:
            entry.critical_since_ns = None
        elif entry.critical_since_ns is None:
            entry.critical_since_ns = now.monotonic_ns
        if check.status == status and check.output == output:
            return False
        if check.status != status:
            self.status_version += 1
            entry.history.appendleft(flip(now.unix_ns, check.status, status, output))
        deferred = check.status == status and defer_output
        entry.check = msgspec.structs.replace(check, status=status, output=output)
        if deferred:
            self._visible_check(check.check_id)
        else:
            self._dirty_check(check.check_id, entry)
        return deferred

    def set_tags(self, entry: ServiceEntry, tags: tuple[str, ...]) -> None:
        """Take over tags from the catalog, which wins where a service allows it."""
        entry.service = msgspec.structs.replace(entry.service, tags=tags)
        entry.registered = msgspec.structs.replace(entry.registered, tags=tags)
        entry.revision += 1
        self.changed_services.add(entry.service.service_id)
        self.version += 1

    def set_service(self, entry: ServiceEntry, service: Service) -> None:
        """Take another effective form of a registered service."""
        if service != entry.service:
            entry.service = service
            self._dirty_service(service.service_id, entry)

    def mark_remote_only(self, service_id: str = "", check_id: str = "") -> None:
        """Note that the catalog holds something this node does not know: it has to go there."""
        if service_id:
            entry = ServiceEntry(Service(service_id=service_id, name=service_id))
            entry.deleted = True
            self.services[service_id] = entry
            self.dirty_services.add(service_id)
        else:
            check_entry = CheckEntry(Check(check_id=check_id, name=check_id))
            check_entry.deleted = True
            self.checks[check_id] = check_entry
            self.dirty_checks.add(check_id)

    def mark_dirty_service(self, service_id: str) -> None:
        """Send this service with the next partial sync; nothing visible changed."""
        entry = self.services[service_id]
        entry.in_sync = False
        entry.revision += 1
        self.dirty_services.add(service_id)

    def mark_dirty_check(self, check_id: str) -> None:
        """Send this check with the next partial sync; nothing visible changed."""
        entry = self.checks[check_id]
        entry.in_sync = False
        entry.revision += 1
        self.dirty_checks.add(check_id)

    def service_synced(self, service_id: str, revision: int) -> None:
        """The catalog has this revision of the service, or has forgotten it when it was deleted."""
        entry = self.services.get(service_id)
        if entry is None or entry.revision != revision:
            return
        self.dirty_services.discard(service_id)
        entry.in_sync = True
        if entry.deleted:
            del self.services[service_id]

    def check_synced(self, check_id: str, revision: int) -> None:
        """The catalog has this revision of the check, or has forgotten it when it was deleted."""
        entry = self.checks.get(check_id)
        if entry is None or entry.revision != revision:
            return
        self.dirty_checks.discard(check_id)
        entry.in_sync = True
        if entry.deleted:
            del self.checks[check_id]

    def removal_refused(self, service_id: str = "", check_id: str = "") -> None:
        """The catalog may not forget what was deleted: it stays known with its token until the next full comparison."""
        service, check = self.services.get(service_id), self.checks.get(check_id)
        # Registered again meanwhile, it goes on its way as any other.
        if service is not None and service.deleted:
            self.dirty_services.discard(service_id)
        if check is not None and check.deleted:
            self.dirty_checks.discard(check_id)

    def take_changed(self) -> tuple[set[str], set[str]]:
        """IDs of services and checks that changed visibly since the last call."""
        changed = self.changed_services, self.changed_checks
        self.changed_services, self.changed_checks = set(), set()
        return changed

    def _detach(self, entry: CheckEntry) -> None:
        attached = self._attached[entry.check.service_id]
        del attached[entry.check.check_id]
        if not attached:
            del self._attached[entry.check.service_id]

    def _dirty_service(self, service_id: str, entry: ServiceEntry) -> None:
        entry.in_sync = False
        entry.revision += 1
        self.dirty_services.add(service_id)
        self.changed_services.add(service_id)
        self.version += 1
        self.on_sync_needed()

    def _dirty_check(self, check_id: str, entry: CheckEntry) -> None:
        entry.in_sync = False
        entry.revision += 1
        self.dirty_checks.add(check_id)
        self._visible_check(check_id)
        self.on_sync_needed()

    def _visible_check(self, check_id: str) -> None:
        self.changed_checks.add(check_id)
        self.version += 1
