"""The simulated state machine: registers by key, each with the index of its last write, and a running digest."""

import hashlib
import json

from raftd.core.api import Entry, EntryKind


class KeyValueMachine:
    """Applies entries `key=value`. Equal digests at an index mean that the same entries were applied up to it."""

    def __init__(self) -> None:
        self.applied_index = 0
        self.digest = ""
        self.registers: dict[str, tuple[str, int]] = {}
        """Value and index of the write, by key."""

    def apply(self, entry: Entry) -> None:
        """Apply the next entry."""
        assert entry.index == self.applied_index + 1, f"{entry.index} applied after {self.applied_index}"
        self.applied_index = entry.index
        if entry.kind == EntryKind.COMMAND:
            key, _, value = entry.data.decode().partition("=")
            self.registers[key] = (value, entry.index)
        told = f"{self.digest} {entry.index} {entry.term} {entry.kind}".encode() + entry.data
        self.digest = hashlib.blake2b(told, digest_size=8).hexdigest()

    def read(self, key: str) -> tuple[str, int]:
        """Value and version of a register; ("", 0) when never written."""
        return self.registers.get(key, ("", 0))

    def save(self) -> bytes:
        """A snapshot's bytes."""
        return json.dumps([self.applied_index, self.digest, self.registers]).encode()

    @staticmethod
    def load(data: bytes) -> "KeyValueMachine":
        """The inverse of `save`."""
        machine = KeyValueMachine()
        machine.applied_index, machine.digest, registers = json.loads(data)
        machine.registers = {key: (value, index) for key, (value, index) in registers.items()}
        return machine
