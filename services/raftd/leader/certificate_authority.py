"""Connect's certificate authority in the primary datacenter: created by the first leader, old roots removed when
nothing can need them any more (Consul 1.7: leader_connect.go). `secondary_authority.py` has the others'."""

import asyncio
import logging
import time
import uuid

from lictor.config.runtime import RuntimeConfig
from lictor.connect.provider_config import CONSUL, ProviderConfig, initial_config, parse_provider_config
from lictor.state.commands import AnyResult, CASetConfig, CASetProviderState, CASetRoots, Command, Failed
from lictor.state.queries import operator
from lictor.state.rows import CAConfig, CAProviderState, CARoot
from lictor.state.uuids import is_uuid
from lictor.state.writer import read_index
from raftd.driver import Driver
from raftd.proposer import Proposer

PRUNE_INTERVAL_S = 3600.0
RETRY_S = 10.0
ROOTS_TABLE = "connect-ca-roots"

log = logging.getLogger("agent.server.connect")


class AuthorityError(Exception):
    """The certificate authority could not be set up; tried again later."""


class AuthorityRecords:
    """The authority's records in this datacenter's state."""

    def __init__(self, driver: Driver, proposer: Proposer, config: RuntimeConfig) -> None:
        self.driver = driver
        self._proposer = proposer
        self._config = config

    async def config(self) -> CAConfig:
        """The stored configuration, that of the agent's files if there is none yet."""
        with self.driver.machine.store.read() as txn:
            stored = operator.ca_config(txn).value
        if stored is not None:
            return stored
        cluster_id, raw = initial_config(self._config.connect.ca_config)
        if cluster_id and not is_uuid(cluster_id):
            raise AuthorityError(f"connect.ca_config.cluster_id is no UUID: {cluster_id!r}")
        wanted = CAConfig(cluster_id or str(uuid.uuid4()), self._config.connect.ca_provider, raw)
        await self.propose(CASetConfig(wanted, cas_index=0))
        with self.driver.machine.store.read() as txn:
            stored = operator.ca_config(txn).value
        assert stored is not None, "the configuration was just stored"
        return stored

    async def prune(self) -> None:
        """Removes roots that were replaced longer than two leaf lifetimes ago."""
        with self.driver.machine.store.read() as txn:
            roots = operator.ca_roots(txn).value
            config = operator.ca_config(txn).value
            index = read_index(txn, ROOTS_TABLE)
        if config is None or not roots:
            return
        leaf_ttl_ns = parse_provider_config(config.config).leaf_cert_ttl_ns
        kept = unexpired(roots, leaf_ttl_ns, time.time_ns())
        if len(kept) < len(roots):
            log.info("pruning old unused root CAs: count=%d", len(roots) - len(kept))
            await self.propose(CASetRoots(index, kept))

    async def propose(self, command: Command) -> AnyResult:
        """Errors: AuthorityError when it is refused, NotReplicatedError."""
        result = await self._proposer.propose(command)
        if isinstance(result, Failed):
            raise AuthorityError(result.text)
        return result


class CertificateAuthorityDuty:
    """Runs while this server leads, if Connect is on."""

    def __init__(self, records: AuthorityRecords, config: RuntimeConfig) -> None:
        self._records = records
        self._driver = records.driver
        self._config = config

    async def run(self) -> None:
        """Set up what is missing, then look after old roots."""
        if not self._config.connect.enabled:
            return
        while True:
            try:
                await self._initialize()
                break
            except (AuthorityError, ValueError) as error:
                # What the operator gave is wrong, and may be mended through the API or on another server.
                log.error("failed to initialize the CA, trying again: error=%r", str(error))
                await asyncio.sleep(RETRY_S)
        while True:
            await self._records.prune()
            await asyncio.sleep(PRUNE_INTERVAL_S)

    async def _initialize(self) -> None:
        config = await self._records.config()
        if config.provider != CONSUL:
            raise AuthorityError(f"unknown CA provider {config.provider!r}")
        provider = parse_provider_config(config.config)
        with self._driver.machine.store.read() as txn:
            roots = operator.ca_roots(txn).value
            state = operator.ca_provider_state(txn, provider.state_id)
            index = read_index(txn, ROOTS_TABLE)
        active = next((root for root in roots if root.active), None)
        if active is not None:
            if state is None or state.root_cert != active.root_cert:
                raise AuthorityError(f"the key of the active root is not stored: root={active.id}")
            return
        if state is None or not state.root_cert:
            state = await self._new_provider_state(provider, config.cluster_id)
        # Imported here: servers without Connect do without the library's memory.
        from lictor.connect.certificates import root_row

        row = root_row(state.root_cert, CONSUL, config.cluster_id)
        await self._records.propose(CASetRoots(index, [*roots, row]))
        log.info("initialized primary datacenter CA with provider: provider=%s", config.provider)

    async def _new_provider_state(self, provider: ProviderConfig, cluster_id: str) -> CAProviderState:
        from lictor.connect.certificates import check_root, new_private_key, new_root

        # Made beside the event loop: an RSA key takes a while.
        key = provider.private_key or await asyncio.to_thread(
            new_private_key, provider.private_key_type, provider.private_key_bits
        )
        if provider.root_cert:
            check_root(provider.root_cert, key)
            root = provider.root_cert
        else:
            root = new_root(key, cluster_id, self._driver.raft.last_index + 1, time.time_ns())
        state = CAProviderState(provider.state_id, key, root)
        await self._records.propose(CASetProviderState(state))
        return state


def unexpired(roots: list[CARoot], leaf_ttl_ns: int, now_ns: int) -> list[CARoot]:
    """The roots that leaves in use may still be signed by."""
    return [
        root
        for root in roots
        if root.active or not root.rotated_out_at_ns or now_ns - root.rotated_out_at_ns <= 2 * leaf_ttl_ns
    ]
