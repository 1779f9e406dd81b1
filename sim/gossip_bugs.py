"""Known bugs to inject, one at a time: the checkers must find every one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from gossipd.core import events, prober, swim
from gossipd.core.messages import Alive
from gossipd.core.node import Node


def _no_refutation(self: swim.Swim, local: Node, accused_incarnation: int) -> None:
    """Says nothing when it is called suspect or dead."""


def _no_suspicion_time(multiplier: int, node_count: int, probe_interval_ns: int) -> int:
    """The timeout does not grow with anything: a suspect is dead at once."""
    return 1


_handle_alive = swim.Swim.handle_alive


def _alive_of_any_incarnation(self: swim.Swim, message: Alive, own: bool = False) -> None:
    """Takes old news of life for new: the dead come back as long as anybody still lists them."""
    known = self.nodes.get(message.node)
    if known is not None and known.is_dead_or_left and message.node != self.context.config.name:
        message = message._replace(incarnation=max(message.incarnation, known.incarnation + 1))
    _handle_alive(self, message, own)


def _no_duplicates_known(self: events.RecentBuffer[Any], lamport_time: int, item: Any) -> bool:
    """Every event is new."""
    self.clock.witness(lamport_time)
    return True


def _never_suspect(self: prober.Prober, sequence: int) -> None:
    """A probe without an answer has no consequence."""
    if self._probe is not None and self._probe.sequence == sequence:
        self._finish(0)


def _no_merge(swim_: swim.Swim, remote: Any) -> None:
    """Push/pull brings no members: whoever missed a rumour never learns."""


BUGS: dict[str, tuple[Callable[[], Any], str]] = {
    "no refutation": (lambda: patch.object(swim.Swim, "_refute", _no_refutation), "a live node stays dead"),
    "no suspicion time": (lambda: patch.object(swim, "suspicion_min_ns", _no_suspicion_time), "false deaths"),
    "alive ignores incarnation": (
        lambda: patch.object(swim.Swim, "handle_alive", _alive_of_any_incarnation),
        "the dead come back",
    ),
    "events not deduplicated": (
        lambda: patch.object(events.RecentBuffer, "maybe_add", _no_duplicates_known),
        "events delivered twice",
    ),
    "no consequence of a failed probe": (
        lambda: patch.object(prober.Prober, "deadline_due", _never_suspect),
        "crashed nodes stay alive",
    ),
    "push/pull merges nothing": (lambda: patch("gossipd.core.pool.merge_nodes", _no_merge), "no convergence"),
}


@contextmanager
def injected(name: str) -> Iterator[None]:
    """The bug is in the code while this is open."""
    with BUGS[name][0]():
        yield
