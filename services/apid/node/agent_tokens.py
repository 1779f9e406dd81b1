"""The tokens of this agent itself."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from lictor.config.runtime import AclTokens


class AgentTokens:
    """What the agent acts with; empty texts where nothing is set."""

    def __init__(self, tokens: AclTokens) -> None:
        self.on_replication_changed: set[Callable[[], None]] = set()
        """Called when another replication token was taken over."""
        self.replication = ""
        self.set(tokens)

    def set(self, tokens: AclTokens) -> None:
        """Take over others."""
        self.default = tokens.default
        self.agent = tokens.agent or tokens.default
        self.agent_master = tokens.agent_master
        if tokens.replication != self.replication:
            self.replication = tokens.replication
            for told in tuple(self.on_replication_changed):
                told()

    def is_agent_master(self, secret_id: str) -> bool:
        """Whether this is the agent's own master token."""
        return bool(self.agent_master) and hmac.compare_digest(secret_id.encode(), self.agent_master.encode())
