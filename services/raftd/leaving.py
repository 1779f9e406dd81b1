"""A graceful leave: hand leadership over, be taken out of the configuration, see it confirmed.

Asked by the supervisor in two steps: `leave` before gossip leaves, `left` after.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from raftd.calls import CallError, Calls
from raftd.core.errors import RaftError
from raftd.driver import Driver

HAND_OVER_TIMEOUT_S = 5.0
REMOVED_TIMEOUT_S = 5.0
"""Consul 1.7: raftRemoveGracePeriod."""
POLL_S = 0.02

log = logging.getLogger("agent.server")


class Leaving:
    """One server's way out."""

    def __init__(self, driver: Driver, calls: Calls) -> None:
        self._driver = driver
        self._calls = calls

    @property
    def _is_last_voter(self) -> bool:
        configuration = self._driver.raft.configuration
        return configuration.voters in ((), (self._driver.server_id,))

    @property
    def _is_member(self) -> bool:
        return self._driver.raft.configuration.get(self._driver.server_id) is not None

    async def leave(self) -> None:
        """Leave the configuration, unless nobody else would be left. A failure is logged."""
        if self._is_last_voter or not self._is_member:
            return
        log.info("server starting leave")
        if self._driver.is_leader:
            await self._hand_over()
        body = msgspec.msgpack.encode({"id": self._driver.server_id})
        try:
            await self._calls.call("raft.leave", body, local=False, forward=True)
        except CallError as error:
            log.warning("failed to be removed as raft peer: error=%r", str(error))

    async def _hand_over(self) -> None:
        try:
            self._driver.transfer_leadership()
        except RaftError as error:
            log.warning("failed to transfer leadership: error=%r", str(error))
            return
        if not await self._until(lambda: not self._driver.is_leader, HAND_OVER_TIMEOUT_S):
            log.warning("failed to transfer leadership: error=%r", "nobody took it in time")

    async def wait_until_left(self) -> None:
        """Returns when the others have removed this server, or the time is over."""
        if self._is_last_voter:
            return
        if not await self._until(lambda: not self._is_member, REMOVED_TIMEOUT_S):
            log.warning("failed to leave Raft configuration gracefully, timeout")

    @staticmethod
    async def _until(condition: Callable[[], bool], timeout_s: float) -> bool:
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while not condition():
            if asyncio.get_running_loop().time() >= deadline_s:
                return False
            await asyncio.sleep(POLL_S)
        return True
