"""The node as its owner changes it: registering, deregistering, TTL updates, maintenance, results, time passing.

Time goes in as `Moment`, what is to be done comes out of `take_effects()`: runs to start, documents to persist, lines
to log. `wake_at_ns()` says when to call `tick` at the latest. A refused change raises and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from checkd.core.access import (
    Access,
    Right,
    require_check,
    require_registered_check,
    require_registered_service,
    require_service,
)
from checkd.core.alias import aliased
from checkd.core.definitions import CheckDefinition, ServiceDefinition
from checkd.core.duration import MINUTE_NS, SECOND_NS, format_duration
from checkd.core.effects import (
    CHECK_STATES,
    CHECKS,
    SERVICES,
    CancelCheck,
    DropDocument,
    Effect,
    LogLine,
    RunCheck,
    SaveDocument,
    WatchAlias,
)
from checkd.core.errors import LocalStateError, NotRegistered
from checkd.core.local_state import LocalState
from checkd.core.maintenance import maintenance_check, maintenance_id
from checkd.core.output import effective_limit, limited
from checkd.core.records import Check, CheckEntry, Moment, Service, ServiceEntry, service_of
from checkd.core.render import check_document, service_document
from checkd.core.scheduler import MAX_RUNNING_CHECKS, Scheduler
from checkd.core.sidecar import expand_sidecar, sidecar_id
from checkd.core.status import CRITICAL, STATUSES, Verdict
from checkd.core.timers import Timers
from checkd.core.validation import (
    discoverability_warnings,
    require_scripts_allowed,
    validate_check,
    validate_service,
    validate_sidecar,
)

VERSION_UNIT_NS = 1_000
MIN_INTERVAL_NS = 1 * SECOND_NS
TTL_TIMER, DEFER_TIMER, REAP_TIMER = "ttl", "defer", "reap"


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What of the configuration decides here; durations in nanoseconds."""

    node_name: str
    update_interval_ns: int = 5 * MINUTE_NS
    output_limit_bytes: int = 4096
    discard_output: bool = False
    deregister_minimum_ns: int = 1 * MINUTE_NS
    reap_interval_ns: int = 30 * SECOND_NS
    local_scripts: bool = False
    remote_scripts: bool = False
    sidecar_min_port: int = 21000
    sidecar_max_port: int = 21255
    max_running: int = MAX_RUNNING_CHECKS


class Node:
    """The services and checks of one node, and everything that changes them."""

    def __init__(self, settings: NodeSettings, random: Random, now: Moment) -> None:
        self.settings = settings
        # Starting from the time lets the version grow over restarts, too.
        self.state = LocalState(settings.discard_output, now.unix_ns // VERSION_UNIT_NS)
        self.scheduler = Scheduler(random, settings.max_running)
        self._random = random
        self._timers = Timers()
        self._effects: list[Effect] = []
        self._aliases: dict[str, str] = {}
        self._saved_states: dict[str, dict[str, Any]] = {}
        self.merge_central: Callable[[Service], Service] = lambda service: service
        self._timers.set(REAP_TIMER, "", now.monotonic_ns + settings.reap_interval_ns)

    def take_effects(self) -> list[Effect]:
        """What is to be done since the last call, in order."""
        effects, self._effects = self._effects, []
        return effects

    def wake_at_ns(self) -> int:
        """When `tick` is due at the latest (monotonic)."""
        dues = (self._timers.next_due_ns(), self.scheduler.next_due_ns())
        return min(due for due in dues if due is not None)

    def reconfigure(self, settings: NodeSettings) -> None:
        """Take over what a reload may change."""
        self.settings = settings
        self.state.discard_output = settings.discard_output

    # Services

    def register_service(
        self,
        definition: ServiceDefinition,
        now: Moment,
        *,
        token: str = "",
        from_file: bool = False,
        replace_checks: bool = False,
        access: Access | None = None,
    ) -> None:
        """Register a service with its checks and its sidecar; raises LocalStateError and changes nothing otherwise."""
        validate_service(definition, access)
        if access is not None:
            require_service(access, self.state, definition)
        validate_sidecar(definition)
        used = ((entry.service.service_id, entry.service.port) for entry in self.state.live_services())
        sidecar = expand_sidecar(definition, used, self.settings.sidecar_min_port, self.settings.sidecar_max_port)
        if access is not None and sidecar is not None:
            require_service(access, self.state, sidecar, sidecar.token)
        definitions = [definition, *([sidecar] if sidecar is not None else [])]
        for each in definitions:
            for check in each.checks:
                self._require_runnable(check, from_file)
        for each in definitions:
            own_token = each.token or token or definition.token
            is_sidecar = each is sidecar
            self._add_service(each, now, own_token, from_file, is_sidecar, replace_checks)
        self._refresh_aliases(now)

    def _add_service(
        self,
        definition: ServiceDefinition,
        now: Moment,
        token: str,
        from_file: bool,
        is_sidecar: bool,
        replace_checks: bool,
    ) -> None:
        service = service_of(definition)
        for warning in discoverability_warnings(definition):
            self._log(logging.WARNING, "agent", warning)
        previous = self.state.service(service.service_id)
        attached = {entry.check.check_id for entry in self.state.checks_of(service.service_id)} if previous else set()
        entry = ServiceEntry(service, definition, token, from_file, is_sidecar)
        entry.service = self.merge_central(service)
        self.state.put_service(entry)
        if not from_file:
            self._save_service(entry)
        for check_id in attached:
            self._rename_check(self.state.checks[check_id], service)
        for index, check in enumerate(definition.checks, 1):
            check_id = check.check_id or f"service:{service.service_id}" + (
                f":{index}" if len(definition.checks) > 1 else ""
            )
            named = Check(
                check_id=check_id,
                name=check.name or f"Service '{service.name}' check",
                status=check.status or CRITICAL,
                notes=check.notes,
                service_id=service.service_id,
                service_name=service.name,
                service_tags=service.tags,
                kind=check.kind,
            )
            attached.discard(check_id)
            self._add_check(named, check, now, token, from_file)
        if replace_checks:
            for check_id in sorted(attached):
                # A file's definition does not speak for what the API attached, such as maintenance.
                if not from_file or self.state.checks[check_id].from_file:
                    self._remove_check(check_id)

    def _rename_check(self, entry: CheckEntry, service: Service) -> None:
        """Let a kept check follow its service's new name and tags."""
        check = entry.check
        if (check.service_name, check.service_tags) != (service.name, service.tags):
            entry.check = msgspec.structs.replace(check, service_name=service.name, service_tags=service.tags)
            self.state.put_check(entry)

    def refresh_central(self) -> None:
        """Merge central configuration anew: its entries have changed."""
        for entry in list(self.state.live_services()):
            self.state.set_service(entry, self.merge_central(entry.registered))

    def deregister_service(self, service_id: str, now: Moment, access: Access | None = None) -> None:
        """Remove a service with its checks and its own sidecar; an unknown one is only logged, unless access control
        is on (Consul 1.7)."""
        if access is not None:
            require_registered_service(access, self.state, service_id)
        if not service_id:
            raise LocalStateError("ServiceID missing")
        if self.state.service(service_id) is None:
            self._log(
                logging.WARNING,
                "agent",
                "Failed to deregister service",
                service=service_id,
                error=f'Service "{service_id}" does not exist',
            )
            return
        self._remove_service(service_id)
        self._refresh_aliases(now)

    def _remove_service(self, service_id: str) -> None:
        for entry in self.state.checks_of(service_id):
            self._remove_check(entry.check.check_id)
        removed = self.state.remove_service(service_id)
        if not removed.from_file:
            self._effects.append(DropDocument(SERVICES, service_id))
        self._log(logging.DEBUG, "agent", "removed service", service=service_id)
        sidecar = self.state.service(sidecar_id(service_id))
        if sidecar is not None and sidecar.is_sidecar:
            self._remove_service(sidecar_id(service_id))

    # Checks

    def register_check(
        self,
        definition: CheckDefinition,
        now: Moment,
        *,
        token: str = "",
        from_file: bool = False,
        access: Access | None = None,
    ) -> None:
        """Register a check of its own; raises LocalStateError and changes nothing otherwise."""
        validate_check(definition, access)
        if access is not None:
            require_check(access, self.state, definition)
        service = self._service_of_check(definition.service_id)
        self._require_runnable(definition, from_file)
        check = Check(
            check_id=definition.check_id or definition.name,
            name=definition.name,
            status=definition.status or CRITICAL,
            notes=definition.notes,
            service_id=definition.service_id,
            service_name=service.name if service else "",
            service_tags=service.tags if service else (),
            # Consul 1.7 leaves the type of a check from a file empty.
            kind="" if from_file else definition.kind,
        )
        self._add_check(check, definition, now, definition.token or token, from_file)
        self.state.checks[check.check_id].standalone = True
        self._refresh_aliases(now)

    def _service_of_check(self, service_id: str) -> Service | None:
        if not service_id:
            return None
        entry = self.state.service(service_id)
        if entry is None:
            raise LocalStateError(f'ServiceID "{service_id}" does not exist')
        return entry.service

    def _require_runnable(self, check: CheckDefinition, from_file: bool) -> None:
        require_scripts_allowed(check, from_file, self.settings.local_scripts, self.settings.remote_scripts)

    def _add_check(
        self, check: Check, definition: CheckDefinition | None, now: Moment, token: str, from_file: bool
    ) -> None:
        """Register or replace a check; a status it had already stays, so that re-registering does not flap."""
        check_id = check.check_id
        existing = self.state.check(check_id)
        if existing is not None:
            check = msgspec.structs.replace(check, status=existing.check.status, output=existing.check.output)
        elif (saved := self._saved_states.pop(check_id, None)) is not None:
            check = msgspec.structs.replace(check, status=saved["Status"], output=saved["Output"])
        entry = CheckEntry(check, definition, token, from_file)
        if existing is not None:
            entry.history = existing.history
            entry.last_output = existing.last_output
            entry.critical_since_ns = existing.critical_since_ns
        if check.status == CRITICAL and entry.critical_since_ns is None:
            entry.critical_since_ns = now.monotonic_ns
        self._stop_check(check_id)
        self.state.put_check(entry)
        if definition is not None:
            self._start_check(entry, definition, now)
        if not from_file:
            self._effects.append(SaveDocument(CHECKS, check_id, check_document(entry, self.settings.node_name)))

    def _start_check(self, entry: CheckEntry, definition: CheckDefinition, now: Moment) -> None:
        check_id = entry.check.check_id
        if definition.ttl_ns > 0:
            self._timers.set(TTL_TIMER, check_id, now.monotonic_ns + definition.ttl_ns)
        elif definition.is_alias and definition.alias_node:
            self._effects.append(WatchAlias(check_id, definition.alias_node, definition.alias_service, entry.token))
        elif definition.is_alias:
            self._aliases[check_id] = definition.alias_service
        else:
            interval_ns = definition.interval_ns
            if interval_ns < MIN_INTERVAL_NS:
                interval_ns = MIN_INTERVAL_NS
                self._log(
                    logging.WARNING,
                    "agent",
                    "check has interval below minimum",
                    check=check_id,
                    minimum_interval=format_duration(MIN_INTERVAL_NS),
                )
            self.scheduler.add(check_id, interval_ns, now.monotonic_ns)
        if 0 < definition.deregister_after_ns < self.settings.deregister_minimum_ns:
            self._log(
                logging.WARNING,
                "agent",
                "check has deregister interval below minimum",
                check=check_id,
                minimum_interval=format_duration(self.settings.deregister_minimum_ns),
            )

    def _stop_check(self, check_id: str) -> None:
        self.scheduler.remove(check_id)
        self._aliases.pop(check_id, None)
        self._timers.clear(TTL_TIMER, check_id)
        self._timers.clear(DEFER_TIMER, check_id)
        self._effects.append(CancelCheck(check_id))

    def deregister_check(self, check_id: str, now: Moment, access: Access | None = None) -> None:
        """Remove a check; an unknown one is only logged, unless access control is on (Consul 1.7)."""
        if access is not None:
            require_registered_check(access, self.state, check_id)
        if not check_id:
            raise LocalStateError("CheckID missing")
        if self.state.check(check_id) is None:
            self._log(
                logging.WARNING,
                "agent",
                "Failed to deregister check",
                check=check_id,
                error=f'Check "{check_id}" does not exist',
            )
            return
        self._remove_check(check_id)
        self._refresh_aliases(now)

    def _remove_check(self, check_id: str) -> None:
        self._stop_check(check_id)
        entry = self.state.remove_check(check_id)
        if not entry.from_file:
            self._effects.append(DropDocument(CHECKS, check_id))
        if entry.definition is not None and entry.definition.ttl_ns > 0:
            self._effects.append(DropDocument(CHECK_STATES, check_id))
        self._log(logging.DEBUG, "agent", "removed check", check=check_id)

    # Statuses

    def update_ttl(self, check_id: str, status: str, output: str, now: Moment, access: Access | None = None) -> None:
        """Take a client's word for a TTL check; raises LocalStateError when there is no such check."""
        if status not in STATUSES:
            raise LocalStateError(f"Invalid check status: '{status}'")
        if access is not None:
            require_registered_check(access, self.state, check_id)
        entry = self.state.check(check_id)
        if entry is None or entry.definition is None or entry.definition.ttl_ns <= 0:
            raise LocalStateError(f'CheckID "{check_id}" does not have associated TTL')
        definition = entry.definition
        output = limited(output, self._limit(definition))
        entry.last_output = output
        self._timers.set(TTL_TIMER, check_id, now.monotonic_ns + definition.ttl_ns)
        self._log(logging.DEBUG, "agent", "Check status updated", check=check_id, status=status)
        self._set_status(entry, status, output, now)
        expires = (now.unix_ns + definition.ttl_ns) // SECOND_NS
        state = {"CheckID": check_id, "Output": output, "Status": status, "Expires": expires}
        self._effects.append(SaveDocument(CHECK_STATES, check_id, state))
        self._refresh_aliases(now)

    def take_result(self, check_id: str, token: int, status: str, output: str, now: Moment) -> None:
        """Count the result of a run; one of an older definition is ignored."""
        if not self.scheduler.finished(check_id, token, now.monotonic_ns):
            return
        entry = self.state.check(check_id)
        assert entry is not None, "a scheduled check is registered"
        reached, verdict = entry.threshold.count(status)
        if reached is None:
            self._log_below_threshold(entry, status, verdict)
            return
        if reached == CRITICAL:
            self._log(logging.WARNING, "agent", "Check is now critical", check=check_id)
        elif reached != entry.check.status:
            self._log(logging.DEBUG, "agent", "Check status updated", check=check_id, status=reached)
        if self._set_status(entry, reached, output, now):
            self._refresh_aliases(now)

    def take_alias_result(self, check_id: str, status: str, output: str, now: Moment) -> None:
        """Take what the watch of another node found."""
        entry = self.state.check(check_id)
        if entry is not None and self._set_status(entry, status, output, now):
            self._refresh_aliases(now)

    def restore_status(self, check_id: str, status: str, output: str, now: Moment) -> None:
        """Put back what a check said before this process was replaced, until it is run again."""
        entry = self.state.check(check_id)
        if entry is not None and entry.first_result and status in STATUSES:
            self.state.set_check(entry, status, output, now, defer_output=False)

    def _log_below_threshold(self, entry: CheckEntry, status: str, verdict: Verdict) -> None:
        counter = entry.threshold
        if verdict is Verdict.MORE_SUCCESSES_NEEDED:
            self._log(
                logging.WARNING,
                "agent",
                "Check passed but has not reached success threshold",
                check=entry.check.check_id,
                status=status,
                success_count=counter.successes,
                success_threshold=counter.success_before_passing,
            )
            return
        self._log(
            logging.WARNING,
            "agent",
            "Check failed but has not reached failure threshold",
            check=entry.check.check_id,
            status=status,
            failure_count=counter.failures,
            failure_threshold=counter.failures_before_critical,
        )

    def _set_status(self, entry: CheckEntry, status: str, output: str, now: Moment) -> bool:
        """Write a status; True when aliases may see a difference."""
        before = entry.check
        # What a check says first is news to everybody, even when the status is the initial one.
        may_wait = not entry.first_result and self.settings.update_interval_ns > 0
        entry.first_result = False
        deferred = self.state.set_check(entry, status, output, now, defer_output=may_wait)
        check_id = before.check_id
        if deferred and not self._timers.is_set(DEFER_TIMER, check_id):
            interval_ns = self.settings.update_interval_ns
            wait_ns = interval_ns // 2 + self._random.randrange(interval_ns)
            self._timers.set(DEFER_TIMER, check_id, now.monotonic_ns + wait_ns)
        elif before.status != status:
            self._timers.clear(DEFER_TIMER, check_id)
        return entry.check is not before

    def _refresh_aliases(self, now: Moment) -> None:
        """Bring the aliases of this node's services up to date; one may follow another, so until nothing changes."""
        for _ in range(len(self._aliases)):
            changed = False
            for check_id, service_id in self._aliases.items():
                entry = self.state.checks[check_id]
                related = self.state.checks_of("") + (self.state.checks_of(service_id) if service_id else [])
                status, output = aliased((other.check for other in related), service_id, check_id)
                changed |= self._set_status(entry, status, output, now)
            if not changed:
                return

    def _limit(self, definition: CheckDefinition) -> int:
        return effective_limit(self.settings.output_limit_bytes, definition.output_max_size)

    # Maintenance

    def set_maintenance(
        self, service_id: str, enable: bool, reason: str, token: str, now: Moment, access: Access | None = None
    ) -> None:
        """Put the node (empty ID) or a service into maintenance or take it out; raises NotRegistered."""
        if access is not None and service_id:
            require_registered_service(access, self.state, service_id)
        elif access is not None:
            access.resolve()
            access.require(Right(""))
        service = None
        if service_id:
            found = self.state.service(service_id)
            if found is None:
                raise NotRegistered(f'No service registered with ID "{service_id}"')
            service = found.service
        check_id = maintenance_id(service_id)
        if enable == (self.state.check(check_id) is not None):
            return
        if enable:
            self._add_check(maintenance_check(service, reason), None, now, token, from_file=False)
        else:
            self._remove_check(check_id)
        subject, verb = "Service" if service_id else "Node", "entered" if enable else "left"
        fields = {"service": service_id} if service_id else {}
        self._log(logging.INFO, "agent", f"{subject} {verb} maintenance mode", **fields)
        self._refresh_aliases(now)

    # Time

    def tick(self, now: Moment) -> None:
        """Do what is due: expire TTLs, send deferred outputs, reap, start runs."""
        for name, key in self._timers.expired(now.monotonic_ns):
            if name == TTL_TIMER:
                self._expire_ttl(key, now)
            elif name == DEFER_TIMER:
                self.state.mark_dirty_check(key)
                self.state.on_sync_needed()
            else:
                self._timers.set(REAP_TIMER, "", now.monotonic_ns + self.settings.reap_interval_ns)
                self._reap(now)
        self.start_runs(now)

    def start_runs(self, now: Moment) -> None:
        """Start the runs that are due and allowed by the limit."""
        for check_id, token in self.scheduler.due(now.monotonic_ns):
            definition = self.state.checks[check_id].definition
            assert definition is not None, "a scheduled check has a definition"
            self._effects.append(RunCheck(check_id, token, definition, self._limit(definition)))

    def _expire_ttl(self, check_id: str, now: Moment) -> None:
        entry = self.state.checks[check_id]
        self._log(logging.WARNING, "agent", "Check missed TTL, is now critical", check=check_id)
        output = "TTL expired"
        if entry.last_output:
            output += f" (last output before timeout follows): {entry.last_output}"
        self._set_status(entry, CRITICAL, output, now)
        self._refresh_aliases(now)

    def _reap(self, now: Moment) -> None:
        """Deregister services that have been critical for longer than a check of theirs allows."""
        for entry in list(self.state.live_checks()):
            definition, since_ns = entry.definition, entry.critical_since_ns
            if entry.deleted or not entry.check.service_id or definition is None or since_ns is None:
                continue
            if definition.deregister_after_ns <= 0:
                continue
            timeout_ns = max(definition.deregister_after_ns, self.settings.deregister_minimum_ns)
            if now.monotonic_ns - since_ns <= timeout_ns:
                continue
            self._log(
                logging.INFO,
                "agent",
                "Check for service has been critical for too long; deregistered service",
                service=entry.check.service_id,
                check=entry.check.check_id,
                timeout=format_duration(timeout_ns),
            )
            self._remove_service(entry.check.service_id)
            self._refresh_aliases(now)

    # Restoring

    def set_saved_states(self, states: Iterable[dict[str, Any]]) -> None:
        """TTL states from disk that have not expired; taken by their checks as these are restored."""
        self._saved_states = {state["CheckID"]: state for state in states}

    def forget_saved_states(self) -> None:
        """Drop states of checks that no longer exist."""
        self._saved_states.clear()

    def restore_service(self, definition: ServiceDefinition, now: Moment, token: str, is_sidecar: bool) -> None:
        """Put back a service that the API registered earlier, without its checks, which are kept apart."""
        self.state.put_service(ServiceEntry(service_of(definition), definition, token, False, is_sidecar))

    def restore_check(self, check: Check, definition: CheckDefinition | None, now: Moment, token: str) -> None:
        """Put back a check that the API registered earlier; critical until it is run, unless it was a TTL's word."""
        if check.service_id:
            service = self._service_of_check(check.service_id)
            assert service is not None
        if definition is not None:
            self._require_runnable(definition, from_file=False)
        self._add_check(msgspec.structs.replace(check, status=CRITICAL, output=""), definition, now, token, False)

    def finish_restore(self, now: Moment) -> None:
        """Bring aliases up to date once everything is registered."""
        self._refresh_aliases(now)

    def _save_service(self, entry: ServiceEntry) -> None:
        self._effects.append(SaveDocument(SERVICES, entry.service.service_id, service_document(entry)))

    def _log(self, level: int, logger: str, message: str, **fields: Any) -> None:
        self._effects.append(LogLine(level, logger, message, fields))
