"""The state syncer: brings the catalog to what the node knows (Consul 1.7: anti-entropy and local state).

One pass at a time. Within a pass services go first, so that a check never arrives before its service, and at most
`MAX_IN_FLIGHT` requests are out. What changed again while its request was out stays out of sync and goes with the
next pass.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Any

from checkd.catalog import Catalog, CatalogDenied, CatalogError, NoServer
from checkd.core.anti_entropy import SyncSchedule, Work
from checkd.core.local_state import LocalState
from checkd.core.reconcile import compare_with_catalog
from checkd.core.records import CheckEntry, ServiceEntry
from checkd.forward import ForwardUnavailable
from lictor import telemetry
from lictor.config.runtime import RuntimeConfig

MAX_IN_FLIGHT = 32
SECOND_NS = 1_000_000_000
START_PATIENCE_NS = 10 * SECOND_NS
"""All daemons of a node start together: that apid cannot be reached yet is no news for this long."""
TOKEN_NOT_FOUND = "ACL not found"

log = logging.getLogger("agent")
log_sync = logging.getLogger("agent.anti_entropy")


class Syncer:
    """Runs the passes; `changed` after a local change, `leader_found` after news of a leader."""

    def __init__(self, state: LocalState, catalog: Catalog, config: RuntimeConfig, random: Random) -> None:
        self._state = state
        self._catalog = catalog
        self._config = config
        self.schedule = SyncSchedule(random, config.checks_config.ae_interval_ns, time.monotonic_ns())
        self._wake = asyncio.Event()
        self._pass = asyncio.Lock()
        self._reported_unreachable = False
        self._patient_until_ns = time.monotonic_ns() + START_PATIENCE_NS

    def reconfigure(self, config: RuntimeConfig, catalog: Catalog) -> None:
        """Take over reloaded tokens, node meta and intervals."""
        self._config = config
        self._catalog = catalog
        self._state.node_info_in_sync = False
        self.changed()

    def use_tokens(self, config: RuntimeConfig) -> None:
        """Act with the tokens of this configuration from now on, and compare at once."""
        self._config = config
        self.schedule.compare_now(time.monotonic_ns())
        self._wake.set()

    def changed(self) -> None:
        """Something local is out of sync."""
        self.schedule.changed(time.monotonic_ns())
        self._wake.set()

    def leader_found(self) -> None:
        """There is a leader (again)."""
        self.schedule.leader_found(time.monotonic_ns())
        self._wake.set()

    async def run(self) -> None:
        """Sync until cancelled."""
        log.info("started state syncer")
        while True:
            now_ns = time.monotonic_ns()
            work = self.schedule.due(now_ns)
            if work is Work.FULL:
                await self.sync_full()
            elif work is Work.PARTIAL:
                await self._sync_partial()
            else:
                await self._wait((self.schedule.wake_at_ns() - now_ns) / SECOND_NS)

    async def sync_full(self) -> str:
        """Compare with the catalog and send what differs; empty, or why it failed."""
        error, reachable = await self._attempt(self._full_pass)
        now_ns = time.monotonic_ns()
        if not error:
            self.schedule.full_done(now_ns)
        else:
            self.schedule.full_failed(now_ns, reachable)
        self._report("failed to sync remote state", error, reachable)
        return error

    async def _sync_partial(self) -> None:
        error, reachable = await self._attempt(self._send_changes)
        if error:
            self.schedule.partial_failed(time.monotonic_ns(), reachable)
        self._report("failed to sync changes", error, reachable)

    def _report(self, what: str, error: str, reachable: bool) -> None:
        """Log a failure: each one of a server that answers, else the first; none while the node's apid may still be
        on its way up."""
        if not error or reachable:
            self._reported_unreachable = False
        elif self._reported_unreachable or time.monotonic_ns() < self._patient_until_ns:
            return
        else:
            self._reported_unreachable = True
        if error:
            log_sync.error("%s: error=%s", what, json.dumps(error))

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> tuple[str, bool]:
        """Why it failed (empty: it did not) and whether a server was reached."""
        async with self._pass:
            try:
                await work()
            except (ForwardUnavailable, NoServer) as error:
                return str(error), False
            except CatalogError as error:
                return str(error), not self._is_early(error)
        return "", True

    def _is_early(self, error: CatalogError) -> bool:
        """Whether a new cluster's leader may yet make the token that is not found."""
        return TOKEN_NOT_FOUND in str(error) and time.monotonic_ns() < self._patient_until_ns

    async def _wait(self, seconds: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _full_pass(self) -> None:
        remote = await self._catalog.read(self._agent_token())
        compare_with_catalog(
            self._state,
            self._catalog.identity.compared(),
            remote.node,
            remote.services,
            remote.checks,
            compare_output=self._config.checks_config.update_interval_ns == 0,
        )
        await self._send_changes()

    async def _send_changes(self) -> None:
        state = self._state
        await self._each(self._sync_service, (state.services[key] for key in sorted(state.dirty_services)))
        await self._each(self._sync_check, (state.checks[key] for key in sorted(state.dirty_checks)))
        if not state.node_info_in_sync:
            await self._sync_node()

    async def _each(self, work: Callable[[Any], Awaitable[None]], entries: Iterable[Any]) -> None:
        """Do the work for all, a limited number at a time; raises the first failure when all are through."""
        slots = asyncio.Semaphore(MAX_IN_FLIGHT)

        async def one(entry: Any) -> None:
            async with slots:
                await work(entry)

        outcomes = await asyncio.gather(*(one(entry) for entry in list(entries)), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _sync_service(self, entry: ServiceEntry) -> None:
        """Send one service with those of its checks that are out of sync and use the same token."""
        service_id = entry.service.service_id
        if entry.deleted:
            await self._forget_service(entry)
            return
        state, revision, token = self._state, entry.revision, self._token_of(entry)
        checks = [
            check for check in state.checks_of(service_id) if not check.in_sync and self._token_of(check) == token
        ]
        revisions = [(check.check.check_id, check.revision) for check in checks]
        try:
            await self._catalog.register(
                token, entry.service, [check.check for check in checks], state.node_info_in_sync
            )
        except CatalogDenied:
            await self._blocked("service.registration", "Service registration", "service", service_id, token)
        except (CatalogError, ForwardUnavailable) as error:
            log.warning("Syncing service failed.: service=%s error=%s", service_id, json.dumps(str(error)))
            raise
        else:
            state.node_info_in_sync = True
            log.info("Synced service: service=%s", service_id)
        state.service_synced(service_id, revision)
        for check_id, check_revision in revisions:
            state.check_synced(check_id, check_revision)

    async def _forget_service(self, entry: ServiceEntry) -> None:
        service_id, revision, token = entry.service.service_id, entry.revision, self._token_of(entry)
        try:
            await self._catalog.deregister(token, service_id=service_id)
        except CatalogDenied:
            await self._blocked("service.deregistration", "Service deregistration", "service", service_id, token)
            self._state.removal_refused(service_id=service_id)
            return
        except CatalogError as error:
            if "Unknown service" not in str(error):
                log.warning("Deregistering service failed.: service=%s error=%s", service_id, json.dumps(str(error)))
                raise
        else:
            log.info("Deregistered service: service=%s", service_id)
        self._state.service_synced(service_id, revision)

    async def _sync_check(self, entry: CheckEntry) -> None:
        check_id = entry.check.check_id
        if entry.deleted:
            await self._forget_check(entry)
            return
        if entry.in_sync:
            return
        state, revision, token = self._state, entry.revision, self._token_of(entry)
        owner = state.service(entry.check.service_id) if entry.check.service_id else None
        try:
            await self._catalog.register(
                token, owner.service if owner else None, [entry.check], state.node_info_in_sync
            )
        except CatalogDenied:
            await self._blocked("check.registration", "Check registration", "check", check_id, token)
        except (CatalogError, ForwardUnavailable) as error:
            log.warning("Syncing check failed.: check=%s error=%s", check_id, json.dumps(str(error)))
            raise
        else:
            state.node_info_in_sync = True
            log.info("Synced check: check=%s", check_id)
        state.check_synced(check_id, revision)

    async def _forget_check(self, entry: CheckEntry) -> None:
        check_id, revision, token = entry.check.check_id, entry.revision, self._token_of(entry)
        try:
            await self._catalog.deregister(token, check_id=check_id)
        except CatalogDenied:
            await self._blocked("check.deregistration", "Check deregistration", "check", check_id, token)
            self._state.removal_refused(check_id=check_id)
            return
        except CatalogError as error:
            if "Unknown check" not in str(error):
                log.warning("Deregistering check failed.: check=%s error=%s", check_id, json.dumps(str(error)))
                raise
        else:
            log.info("Deregistered check: check=%s", check_id)
        self._state.check_synced(check_id, revision)

    async def _sync_node(self) -> None:
        token = self._agent_token()
        try:
            await self._catalog.register(token, None, (), False)
        except CatalogDenied:
            await self._blocked("node.registration", "Node info update", "node", self._catalog.identity.node_id, token)
        else:
            log.info("Synced node info")
        self._state.node_info_in_sync = True

    async def _blocked(self, kind: str, what: str, subject: str, name: str, token: str) -> None:
        """Count and log what the rules refuse, with whom they refuse it; it is tried again at the next full sync."""
        telemetry.counter(f"acl.blocked.{kind}").increment()
        accessor_id = await self._catalog.accessor_id(token)
        log.warning("%s blocked by ACLs: %s=%s accessorID=%s", what, subject, name, accessor_id)

    def _agent_token(self) -> str:
        tokens = self._config.acl.tokens
        return tokens.agent or tokens.default

    def _token_of(self, entry: ServiceEntry | CheckEntry) -> str:
        return entry.token or self._config.acl.tokens.default
