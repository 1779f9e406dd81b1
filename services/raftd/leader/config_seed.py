"""`config_entries.bootstrap`: entries of the agent's files, created by the leader where they do not exist yet."""

import logging
from typing import Any

from lictor.state import keys
from lictor.state.commands import ConfigSet, Failed
from lictor.state.config_decoding import decode_entry, validate_entry
from lictor.state.writer import Refused
from raftd.driver import Driver
from raftd.proposer import Proposer

log = logging.getLogger("agent.server")


class ConfigSeed:
    """One entry after the other; one that is wrong is logged and holds up no other."""

    def __init__(self, driver: Driver, proposer: Proposer, items: tuple[dict[str, Any], ...]) -> None:
        self._driver = driver
        self._proposer = proposer
        self._items = items

    async def run(self) -> None:
        """Create what is missing. Raises NotReplicatedError."""
        for position, item in enumerate(self._items):
            try:
                entry = decode_entry(item)
                validate_entry(entry)
            except Refused as refused:
                log.error("failed to bootstrap config entry: position=%d error=%r", position, refused.text)
                continue
            with self._driver.machine.store.read() as txn:
                if txn.get(keys.config_entry(entry.kind, entry.name)) is not None:
                    continue
            result = await self._proposer.propose(ConfigSet(entry, cas_index=0))
            if isinstance(result, Failed):
                log.error(
                    "failed to bootstrap config entry: kind=%s name=%s error=%r", entry.kind, entry.name, result.text
                )
