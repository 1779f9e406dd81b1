"""Connect's certificate authority in a secondary datacenter: the primary one's root, and an intermediate of our own
that it signed (Consul 1.7: leader_connect.go).

The key of a new intermediate is stored together with its certificate and the roots that name it, in one command: leaves
are always signed by a key whose certificate is there.
"""

import asyncio
import logging
import time

from msgspec.structs import replace

from lictor.config.runtime import RuntimeConfig
from lictor.connect.provider_config import CONSUL, ProviderConfig, parse_provider_config
from lictor.state.commands import CASetRoots, Outcome
from lictor.state.queries import operator
from lictor.state.rows import CAProviderState, CARoot
from lictor.state.writer import read_index
from raftd.leader.certificate_authority import PRUNE_INTERVAL_S, ROOTS_TABLE, AuthorityError, AuthorityRecords
from raftd.leader.replication.pace import Backoff, Turns
from raftd.leader.replication.primary import Primary, PrimaryError, Roots
from raftd.proposer import NotReplicatedError

log = logging.getLogger("agent.server.connect")


class SecondaryAuthority:
    """Runs while this server leads, if Connect is on and another datacenter is the primary one."""

    def __init__(self, records: AuthorityRecords, primary: Primary, config: RuntimeConfig) -> None:
        self._records = records
        self._primary = primary
        self._config = config

    async def run(self) -> None:
        """Follows the primary datacenter's roots without end."""
        if not self._config.connect.enabled:
            return
        turns, backoff = Turns(), Backoff()
        clock = asyncio.get_running_loop().time
        # Shown before the primary datacenter could be asked, too.
        await self._records.config()
        index, prune_at_s = 0, 0.0
        while True:
            await asyncio.sleep(turns.take(clock()))
            try:
                # Comes back after minutes without a change, too: in time for the renewal of certificates.
                roots, index = await self._primary.roots(index)
                await self.follow(roots)
                if clock() >= prune_at_s:
                    prune_at_s = clock() + PRUNE_INTERVAL_S
                    await self._records.prune()
            except (PrimaryError, AuthorityError, NotReplicatedError, ValueError) as error:
                index = 0
                log.error("CA root replication failed, will retry: error=%r", str(error))
                await asyncio.sleep(backoff.failed(isinstance(error, PrimaryError) and error.unreachable))
                continue
            backoff.succeeded()

    async def follow(self, roots: Roots) -> None:
        """A new intermediate when the root is another one, or half of the old one's life is over."""
        if not roots.cluster_id:
            raise AuthorityError("trust domain from primary datacenter is not initialized")
        active = next((root for root in roots.roots if root.active), None)
        if active is None:
            raise AuthorityError("primary datacenter does not have an active root CA for Connect")
        config = await self._records.config()
        if config.provider != CONSUL:
            raise AuthorityError(f"unknown CA provider {config.provider!r}")
        provider = parse_provider_config(config.config)
        with self._records.driver.machine.store.read() as txn:
            state = operator.ca_provider_state(txn, provider.secondary_state_id)
            own = next((root for root in operator.ca_roots(txn).value if root.active), None)
        if not needs_intermediate(active, own, state, time.time_ns()):
            return
        try:
            root, state = await self._signed(active, provider, roots.cluster_id)
        except PrimaryError as error:
            # Who is asked for roots gets them; leaves go on being signed by the old intermediate.
            if own is None or own.id != active.id:
                await self._store(active, roots.cluster_id, None)
            raise AuthorityError(
                f"primary datacenter refused to sign our intermediate CA certificate: {error}"
            ) from None
        await self._store(root, roots.cluster_id, state)
        log.info("received new intermediate certificate from primary datacenter")

    async def _signed(
        self, active: CARoot, provider: ProviderConfig, cluster_id: str
    ) -> tuple[CARoot, CAProviderState]:
        """A new intermediate: the root as this datacenter shows it, and what the provider keeps."""
        from lictor.connect.certificates import new_private_key
        from lictor.connect.intermediates import check_authority, new_authority_request, signing_key_id

        # Made beside the event loop: an RSA key takes a while.
        key = await asyncio.to_thread(new_private_key, provider.private_key_type, provider.private_key_bits)
        certificate = await self._primary.sign_intermediate(new_authority_request(key, cluster_id))
        check_authority(certificate, active.root_cert, key, cluster_id)
        root = replace(
            active,
            signing_key_id=signing_key_id(certificate),
            intermediate_certs=[*(active.intermediate_certs or ()), certificate],
        )
        return root, CAProviderState(provider.secondary_state_id, key, active.root_cert, certificate)

    async def _store(self, root: CARoot, cluster_id: str, state: CAProviderState | None) -> None:
        """Makes a root the active one, in the trust domain of the primary datacenter."""
        with self._records.driver.machine.store.read() as txn:
            config = operator.ca_config(txn).value
            before = operator.ca_roots(txn).value
            index = read_index(txn, ROOTS_TABLE)
        assert config is not None, "the configuration is stored first"
        rows = succeeded_by(before, root, config.cluster_id, time.time_ns())
        command = CASetRoots(index, rows, replace(config, cluster_id=cluster_id), config.modify_index, state)
        result = await self._records.propose(command)
        if isinstance(result, Outcome) and not result.ok:
            raise AuthorityError("could not atomically update roots and config")
        log.info("updated root certificates from primary datacenter")


def needs_intermediate(active: CARoot, own: CARoot | None, state: CAProviderState | None, now_ns: int) -> bool:
    """Whether the intermediate that is stored will not do: none, of another root, not the one shown, or old.

    `active` is the primary datacenter's root, `own` what this one shows as active. Errors: CertificateError.
    """
    from lictor.connect.certificates import fingerprint, parse_certificate
    from lictor.connect.intermediates import half_over, signing_key_id

    if state is None or not state.intermediate_cert or own is None:
        return True
    if own.id != active.id or fingerprint(parse_certificate(state.root_cert)) != active.id:
        return True
    return own.signing_key_id != signing_key_id(state.intermediate_cert) or half_over(state.intermediate_cert, now_ns)


def succeeded_by(before: list[CARoot], active: CARoot, cluster_id: str, now_ns: int) -> list[CARoot]:
    """All roots after one became active: those of before stay trusted, as the cluster's if they do not say whose."""
    rows = []
    for root in before:
        if root.id == active.id:
            continue
        if root.active:
            root = replace(root, active=False, rotated_out_at_ns=now_ns)
        if not root.external_trust_domain:
            root = replace(root, external_trust_domain=cluster_id)
        rows.append(root)
    return [*rows, active]
