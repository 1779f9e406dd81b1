"""The source of facts on a server: its own state for its datacenter, apid for everything else.

The local state is used while it is as fresh as the configuration demands; otherwise apid, which finds the leader.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dnsd.core.needs import Unavailable
from dnsd.metrics import STALE_ANSWERS
from dnsd.sources.local import LocalState, StateView
from dnsd.sources.remote import RemoteSource
from dnsd.sources.source import Found, View
from dnsd.sources.staleness import NOTABLE_STALENESS_S, Staleness
from dnsd.sources.subscriptions import GONE, STAMP_MARK
from lictor.acl import ALLOW_ALL

if TYPE_CHECKING:
    from dnsd.sources.rights import Rights

log = logging.getLogger("agent.dns")


class BothView:
    """Local state where it has the facts, pushed copies for the rest."""

    __slots__ = ("_local", "_remote", "_state")

    def __init__(self, state: StateView, remote: RemoteSource) -> None:
        self._state = state
        self._local = state.get
        self._remote = remote

    def get(self, stamp: bytes) -> bytes | None:
        if stamp[0] == STAMP_MARK:
            return self._remote.subscriptions.version(stamp)
        return self._local(stamp)

    def find(self, need: Any) -> Found | None:
        found = self._state.find(need)
        return self._remote.find(need) if found is None else found


class TooOldView:
    """The local state may not be used at the moment: nothing kept stands, everything is asked of apid."""

    def __init__(self, remote: RemoteSource) -> None:
        self._remote = remote

    def get(self, stamp: bytes) -> bytes | None:
        return self._remote.subscriptions.version(stamp) if stamp[0] == STAMP_MARK else GONE

    def find(self, need: Any) -> Found | None:
        return None


class NoStateView(TooOldView):
    """There is no local state yet, raftd has never run."""

    def find(self, need: Any) -> Found | None:
        raise Unavailable("no state yet")


class ServerSource:
    """Facts on a server."""

    def __init__(
        self,
        local: LocalState,
        remote: RemoteSource,
        staleness: Staleness,
        on_replaced: Callable[[], None],
        rights: Rights | None = None,
    ) -> None:
        """`on_replaced` is called when the state was replaced as a whole, so that indexes prove nothing any more.

        `rights` is None while access control is off.
        """
        self._local = local
        self._remote = remote
        self.staleness = staleness
        self._on_replaced = on_replaced
        self._rights = rights
        if rights is not None:
            rights.on_changed = self._forget
        self._had_leader = True
        self.stale_answers = 0

    @contextmanager
    def view(self) -> Iterator[View]:
        """A consistent look at the state."""
        try:
            local, is_new = self._local.open()
        except Unavailable:
            yield NoStateView(self._remote)
            return
        rights = self._rights
        if is_new:
            self._on_replaced()
            if rights is not None:
                rights.forget()
        if self._may_use_local():
            with local.read() as txn:
                if rights is not None and not rights.are_here(txn):
                    yield TooOldView(self._remote)
                else:
                    authorizer = ALLOW_ALL if rights is None else rights.of(txn)
                    yield BothView(self._local.view_of(txn, authorizer), self._remote)
        else:
            yield TooOldView(self._remote)

    def _forget(self) -> None:
        """What may be shown is something else than before."""
        self._local.forget_owners()
        self._on_replaced()

    async def fetch(self, need: Any) -> Found:
        """Facts by way of apid. Raises Unavailable."""
        return await self._remote.fetch(need)

    async def close(self) -> None:
        """Close everything."""
        self._local.close()
        await self._remote.close()

    def _may_use_local(self) -> bool:
        freshness = self._local.freshness()
        if freshness.known_leader != self._had_leader:
            self._had_leader = freshness.known_leader
            if not self._had_leader:
                log.warning("no cluster leader, serving last known answers")
        if freshness.may_serve_default:
            return True
        age_s = freshness.age_s
        if age_s is None:
            return self.staleness.allow_stale
        if age_s > NOTABLE_STALENESS_S:
            self.stale_answers += 1
            STALE_ANSWERS.increment()
        return self.staleness.may_use(age_s)
