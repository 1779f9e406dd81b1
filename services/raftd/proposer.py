"""Commands of this server's own duties: proposed here only, awaited."""

import asyncio
import heapq

from lictor.state.commands import AnyResult, Command, decode_result, encode_command
from raftd.core.configuration import Configuration
from raftd.core.effects import SoftState
from raftd.driver import Driver
from raftd.fsm import Batch
from raftd.proposals import Outcome, Proposal

TIMEOUT_S = 30.0
"""A duty does not wait longer for one command (Consul 1.7: enqueueLimit)."""


class NotReplicatedError(Exception):
    """The command was not taken, or it is not known whether it was."""


class Proposer:
    """One answer per call."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._next_id = 1
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._indexes: list[tuple[int, int, asyncio.Future[None]]] = []
        driver.listeners.append(self)

    async def propose(self, command: Command) -> AnyResult:
        """Replicate and apply one command. Raises NotReplicatedError."""
        return await self.propose_raw(encode_command(command))

    async def propose_raw(self, data: bytes) -> AnyResult:
        """The same for an entry's data. Raises NotReplicatedError."""
        number = self._next_id
        self._next_id += 1
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._driver.propose([Proposal(self, number, data, 0)])
        try:
            outcome = await asyncio.wait_for(future, TIMEOUT_S)
        except TimeoutError as error:
            raise NotReplicatedError(f"not replicated within {TIMEOUT_S:g} s") from error
        finally:
            self._waiting.pop(number, None)
        if outcome.error:
            raise NotReplicatedError(outcome.error)
        result: AnyResult = decode_result(outcome.result)
        return result

    async def applied(self, index: int) -> None:
        """Wait until the state machine has applied `index`. Raises NotReplicatedError."""
        if self._driver.machine.applied_index >= index:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next_id += 1
        heapq.heappush(self._indexes, (index, self._next_id, future))
        try:
            await asyncio.wait_for(future, TIMEOUT_S)
        except TimeoutError as error:
            raise NotReplicatedError(f"index {index} not applied within {TIMEOUT_S:g} s") from error

    def answer(self, proposal_id: int, outcome: Outcome) -> None:
        """As a `Sink`."""
        future = self._waiting.get(proposal_id)
        if future is not None and not future.done():
            future.set_result(outcome)

    def batch_applied(self, batch: Batch) -> None:
        """Wake who waits for an index."""
        self._wake()

    def state_replaced(self) -> None:
        """Wake who waits for an index."""
        self._wake()

    def _wake(self) -> None:
        while self._indexes and self._indexes[0][0] <= self._driver.machine.applied_index:
            future = heapq.heappop(self._indexes)[2]
            if not future.done():
                future.set_result(None)

    def state_changed(self, state: SoftState) -> None:
        """Nothing waits for this here."""

    def leader_ready(self) -> None:
        """Nothing waits for this here."""

    def configuration_changed(self, configuration: Configuration) -> None:
        """Nothing waits for this here."""
