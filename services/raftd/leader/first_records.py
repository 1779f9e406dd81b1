"""What every cluster with access control begins with: the policy that grants everything, the token of those without
one, and the master token of the configuration. Made in the primary datacenter (Consul 1.7: initializeACLs)."""

import logging
import time
import uuid

from msgspec.structs import replace

from lictor.acl.builtin import (
    ANONYMOUS_SECRET,
    MANAGEMENT_POLICY_ID,
    MANAGEMENT_RULES,
    anonymous_token,
    management_policy,
    management_token,
)
from lictor.acl.hashes import policy_hash
from lictor.state.commands import Command, Failed, Noop, PolicySet, TokenBootstrap, TokenDelete, TokenSet
from lictor.state.queries import acl
from lictor.state.rows import ACLToken
from lictor.state.uuids import is_uuid
from raftd.driver import Driver
from raftd.proposer import NotReplicatedError, Proposer

MASTER_DESCRIPTION = "Master Token"
REDACTED_SECRET = "<hidden>"

log = logging.getLogger("agent.server")


class FirstRecords:
    """Looks what is missing and makes it; run again, it changes nothing."""

    def __init__(self, driver: Driver, proposer: Proposer, master_token: str) -> None:
        self._driver = driver
        self._proposer = proposer
        self._master_token = master_token

    async def make(self) -> None:
        """Make what is missing. Raises NotReplicatedError."""
        log.info("initializing acls")
        await self._make_policy()
        if self._master_token:
            await self._make_master_token()
        await self._make_anonymous_token()

    async def _make_policy(self) -> None:
        with self._driver.machine.store.read() as txn:
            present = acl.policy(txn, MANAGEMENT_POLICY_ID).value
        if present is not None and present.rules == MANAGEMENT_RULES:
            return
        if present is None:
            # The index that Consul's leader takes for a barrier: the reset index of a new cluster is the same then.
            await self._propose(Noop(), "begin")
        policy = management_policy()
        if present is not None:
            policy = replace(policy, name=present.name, description=present.description)
            policy = replace(policy, hash=policy_hash(policy))
        await self._propose(PolicySet([policy]), "create global-management policy")
        log.info("Created ACL 'global-management' policy")

    async def _make_master_token(self) -> None:
        if not is_uuid(self._master_token):
            log.warning("Configuring a non-UUID master token is deprecated")
        with self._driver.machine.store.read() as txn:
            present = acl.token_by_secret(txn, self._master_token).value
            is_first = acl.bootstrap_index(txn) == 0
        if present is not None:
            return
        token = management_token(str(uuid.uuid4()), self._master_token, MASTER_DESCRIPTION, time.time_ns())
        if is_first:
            result = await self._proposer.propose(TokenBootstrap(token))
            if not isinstance(result, Failed):
                log.info("Bootstrapped ACL master token from configuration")
                return
        await self._propose(TokenSet([token]), "create master token")
        log.info("Created ACL master token from configuration")

    async def _make_anonymous_token(self) -> None:
        if self._token(ANONYMOUS_SECRET) is not None:
            return
        await self._propose(TokenSet([anonymous_token(time.time_ns())]), "create anonymous token")
        log.info("Created ACL anonymous token from configuration")

    async def remove_redacted(self) -> None:
        """In a secondary datacenter: delete a token that was copied without its secret. Raises NotReplicatedError."""
        token = self._token(REDACTED_SECRET)
        if token is not None:
            await self._propose(TokenDelete([token.accessor_id]), "remove token with a redacted secret")

    def _token(self, secret_id: str) -> ACLToken | None:
        with self._driver.machine.store.read() as txn:
            return acl.token_by_secret(txn, secret_id).value

    async def _propose(self, command: Command, what: str) -> None:
        result = await self._proposer.propose(command)
        if isinstance(result, Failed):
            raise NotReplicatedError(f"failed to {what}: {result.text}")
