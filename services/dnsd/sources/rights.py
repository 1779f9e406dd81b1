"""What DNS may show: the rights of the agent's default token, or of nobody in particular, by this server's state."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from lictor.acl.authorizer import Authorizer
from lictor.acl.defaults import ROOTS
from lictor.acl.errors import RulesError
from lictor.config.runtime import RuntimeConfig
from lictor.logs import quoted
from lictor.state.grants import LocalGrants, holds_tokens
from lictor.state.store import ReadTxn

log = logging.getLogger("agent.dns")

ANONYMOUS = "anonymous"


def decides_here(config: RuntimeConfig) -> bool:
    """Whether this server's own state says which tokens there are; else apid is asked for everything."""
    return config.server_mode and (_is_primary(config) or config.acl.enable_token_replication)


def _is_primary(config: RuntimeConfig) -> bool:
    return config.primary_datacenter in ("", config.datacenter)


class Rights:
    """Made only when access control is on."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._secret = config.acl.tokens.default or ANONYMOUS
        self._is_primary = _is_primary(config)
        wrap: Callable[[Authorizer], Authorizer] = _same
        if not config.acl.enforce_version_8:
            from lictor.acl.version8 import unguarded

            wrap = unguarded
        self._grants = LocalGrants(config.datacenter, ROOTS[config.acl.default_policy], wrap)
        self.on_changed: Callable[[], None] = lambda: None
        """Called when what may be shown is something else than before."""
        self._last: Authorizer | None = None

    def forget(self) -> None:
        """The state was replaced."""
        self._grants.clear()

    def are_here(self, txn: ReadTxn) -> bool:
        """Whether the tokens are in this state: those of another datacenter take a while to be replicated."""
        return self._is_primary or holds_tokens(txn)

    def of(self, txn: ReadTxn) -> Authorizer | None:
        """The rights by this view of the state; None when the token is unknown."""
        try:
            grant = None if self._secret in ROOTS else self._grants.find(txn, self._secret)
        except RulesError as error:
            log.error("rights of the default token: error=%s", quoted(error))
            grant = None
        if grant is not None and grant.expired(time.time_ns()):
            grant = None
        authorizer = None if grant is None else grant.authorizer
        if authorizer is not self._last:
            self._last = authorizer
            self.on_changed()
        return authorizer


def _same(authorizer: Authorizer) -> Authorizer:
    return authorizer
