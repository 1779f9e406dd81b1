"""What the driver needs from its surroundings, and what it tells them."""

from collections.abc import Sequence
from typing import Protocol

from raftd.core.configuration import Configuration
from raftd.core.effects import SoftState
from raftd.core.messages import Message
from raftd.fsm import Batch


class Outbound(Protocol):
    """Where messages to other servers go."""

    def send(self, messages: Sequence[Message]) -> None:
        """Send each to its target, in order; what cannot be sent is dropped."""

    def configure(self, configuration: Configuration) -> None:
        """These are the servers now."""


class Listener(Protocol):
    """Told what the leader's duties and the router depend on."""

    def state_changed(self, state: SoftState) -> None:
        """Role, term or leader is another."""

    def leader_ready(self) -> None:
        """This server leads, and its state machine has everything committed before."""

    def configuration_changed(self, configuration: Configuration) -> None:
        """Another configuration is in force."""

    def batch_applied(self, batch: Batch) -> None:
        """Entries were applied."""

    def state_replaced(self) -> None:
        """A snapshot took the place of the state machine's content."""
