"""A core with a clock that a test sets forward."""

from __future__ import annotations

from random import Random
from typing import Any

from checkd.core.definitions import check_definition, service_definition
from checkd.core.duration import SECOND_NS
from checkd.core.effects import Effect, RunCheck
from checkd.core.node import Node, NodeSettings
from checkd.core.records import Check, Moment, Service

START_UNIX_NS = 1_600_000_000 * SECOND_NS


class TimedNode:
    """A node, its time, and the effects so far."""

    def __init__(self, seed: int = 1, **settings: Any) -> None:
        self.now = Moment(SECOND_NS, START_UNIX_NS)
        self.node = Node(NodeSettings(node_name="n1", **settings), Random(seed), self.now)
        self.effects: list[Effect] = []

    def service(self, **fields: Any) -> None:
        replace = fields.pop("replace_checks", False)
        self.node.register_service(service_definition(fields), self.now, replace_checks=replace)
        self.collect()

    def file_service(self, **fields: Any) -> None:
        """As a reload registers what a file says."""
        definition = service_definition(fields)
        self.node.register_service(definition, self.now, from_file=True, replace_checks=True)
        self.collect()

    def check(self, **fields: Any) -> None:
        self.node.register_check(check_definition(fields), self.now)
        self.collect()

    def forward(self, seconds: float) -> None:
        """Let time pass, waking the core whenever it wants."""
        end_ns = self.now.monotonic_ns + int(seconds * SECOND_NS)
        while (due_ns := self.node.wake_at_ns()) <= end_ns:
            self._at(max(due_ns, self.now.monotonic_ns))
            self.node.tick(self.now)
            self.collect()
        self._at(end_ns)

    def collect(self) -> list[Effect]:
        new = self.node.take_effects()
        self.effects += new
        return new

    def run_all(self, status: str, output: str = "") -> None:
        """Answer every run that is out."""
        runs = [effect for effect in self.effects if isinstance(effect, RunCheck)]
        self.effects = [effect for effect in self.effects if not isinstance(effect, RunCheck)]
        for run in runs:
            self.node.take_result(run.check_id, run.token, status, output, self.now)
        self.collect()

    def seen(self, check_id: str) -> Check:
        entry = self.node.state.check(check_id)
        assert entry is not None, f"no check {check_id}"
        return entry.check

    def instance(self, service_id: str) -> Service:
        entry = self.node.state.service(service_id)
        assert entry is not None, f"no service {service_id}"
        return entry.service

    def _at(self, monotonic_ns: int) -> None:
        self.now = Moment(monotonic_ns, START_UNIX_NS + monotonic_ns)
