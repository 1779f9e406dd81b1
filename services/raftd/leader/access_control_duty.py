"""Access control's duties: the first records, legacy tokens brought up to date, expired tokens deleted."""

import asyncio
import logging
import time
import uuid

from lictor.config.runtime import RuntimeConfig
from lictor.state import keys
from lictor.state.commands import Failed, TokenDelete, TokenSet
from lictor.state.rows import decode_token
from lictor.state.writer import read_index
from raftd.driver import Driver
from raftd.leader.first_records import FirstRecords
from raftd.leader.token_upkeep import Expiry, upgraded
from raftd.proposer import NotReplicatedError, Proposer

REAP_INTERVAL_S = 1.0
UPGRADE_INTERVAL_S = 1.0
TOKENS_TABLE = "acl-tokens"

log = logging.getLogger("agent.server.acl")


class AccessControlDuty:
    """Runs while this server leads, if access control is on."""

    def __init__(self, driver: Driver, proposer: Proposer, config: RuntimeConfig) -> None:
        self._driver = driver
        self._proposer = proposer
        self._is_primary = config.primary_datacenter in ("", config.datacenter)
        self._reaps_local = self._is_primary or config.acl.enable_token_replication
        self._first = FirstRecords(driver, proposer, config.acl.tokens.master)
        self._begun = asyncio.Event()

    async def run(self) -> None:
        """First what is missing, then upkeep; never returns where tokens can expire. Raises NotReplicatedError."""
        if self._is_primary:
            await self._first.make()
            self._begun.set()
            await self._upgrade()
        else:
            await self._first.remove_redacted()
            self._begun.set()
        await self._reap()

    async def begun(self) -> None:
        """Waits until the first records are there: the other duties' come after them, as in Consul."""
        await self._begun.wait()

    def begin_anew(self) -> None:
        """This server has just become the leader."""
        self._begun.clear()

    async def _upgrade(self) -> None:
        """Tokens without accessor ID come with archives of old clusters only: once none is left, none will be."""
        while True:
            with self._driver.machine.store.read() as txn:
                old = [decode_token(raw) for _, raw in txn.scan(keys.token_without_accessor(""))]
            tokens = upgraded(old, lambda: str(uuid.uuid4()))
            if not tokens:
                return
            result = await self._proposer.propose(TokenSet(tokens, cas=True))
            if isinstance(result, Failed):
                raise NotReplicatedError(f"failed to apply acl token upgrade batch: {result.text}")
            await asyncio.sleep(UPGRADE_INTERVAL_S)

    async def _reap(self) -> None:
        """Local tokens in every datacenter, those for all datacenters in the primary one only."""
        kinds = {"local": Expiry(is_local=True)} if self._reaps_local else {}
        if self._is_primary:
            kinds["global"] = Expiry(is_local=False)
        while kinds:
            for locality, expiry in kinds.items():
                await self._reap_kind(locality, expiry)
            await asyncio.sleep(REAP_INTERVAL_S)

    async def _reap_kind(self, locality: str, expiry: Expiry) -> None:
        now_ns = time.time_ns()
        with self._driver.machine.store.read() as txn:
            index = read_index(txn, TOKENS_TABLE)
            if not expiry.is_worth_looking(index, now_ns):
                return
            tokens = (decode_token(raw) for _, raw in txn.scan(keys.token("")))
            expired = expiry.expired(tokens, index, now_ns)
        if not expired:
            return
        log.info("deleting expired ACL tokens: amount=%d locality=%s", len(expired), locality)
        try:
            result = await self._proposer.propose(TokenDelete(expired))
        except NotReplicatedError as error:
            log.error("error reaping expired %s ACL tokens: error=%r", locality, str(error))
            return
        if isinstance(result, Failed):
            log.error("error reaping expired %s ACL tokens: error=%r", locality, result.text)
