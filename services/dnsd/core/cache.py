"""The packet cache: ready answers by question, good exactly while what they were made from is unchanged.

An entry remembers the stamps of everything read for it: (key, value) pairs that the source of facts can look up in
microseconds. As long as each still has that value the answer would come out the same, so there is nothing to
invalidate and nothing stale. An entry grows one packet per rotation, so that successive askers begin with successive
instances.

Two generations bound it: what is not asked for while `MAX_YOUNG_ENTRIES` others are falls out.
"""

from __future__ import annotations

from collections.abc import Callable

from dnsd.core.answer import Answer
from dnsd.core.message import Transport, render
from dnsd.core.question import Question
from dnsd.core.settings import Settings

MAX_YOUNG_ENTRIES = 8192
MAX_ROTATIONS = 256
"""Up to so many groups each comes first in turn."""
MANY_ROTATIONS = 64
"""The rotations of an answer with more groups than that."""
MAX_ENTRY_BYTES = 262_144
"""Packets kept for one question; at least one, whatever its size."""
USES_PER_SHUFFLE = 1024
"""An answer with more groups than rotations is put in a new order after so many questions."""
MAX_CACHED_BYTES = 67_108_864
"""When the packets of one generation reach half of this it ends early."""

Stamp = tuple[bytes, bytes | None]


class Entry:
    """One question's packets."""

    __slots__ = (
        "answer",
        "next",
        "packets",
        "question",
        "rotations",
        "serial_s",
        "settings",
        "stamps",
        "transport",
        "uses",
    )

    def __init__(
        self, question: Question, answer: Answer, settings: Settings, transport: Transport, stamps: tuple[Stamp, ...]
    ) -> None:
        self.question = question
        self.answer = answer
        self.settings = settings
        self.transport = transport
        self.stamps = stamps
        self.serial_s = answer.serial_s
        self.packets = [render(question, answer, settings, transport)]
        groups = len(answer.groups) if answer.rotates else 1
        by_size = max(1, MAX_ENTRY_BYTES // len(self.packets[0]))
        wanted = groups if groups <= MAX_ROTATIONS else MANY_ROTATIONS
        self.rotations = max(1, min(wanted, by_size))
        self.next = 1 % self.rotations
        self.uses = USES_PER_SHUFFLE if self.rotations < groups else -1

    @property
    def size_bytes(self) -> int:
        """What it may come to hold."""
        return self.rotations * len(self.packets[0])

    def take(self) -> bytes:
        """The next packet, without its ID."""
        number = self.next
        self.next = number + 1 if number + 1 < self.rotations else 0
        if number < len(self.packets):
            return self.packets[number]
        start = number * len(self.answer.groups) // self.rotations
        packet = render(self.question, self.answer, self.settings, self.transport, start)
        self.packets.append(packet)
        if len(self.packets) == self.rotations:
            # The groups have done their work.
            self.answer = Answer()
        return packet


class PacketCache:
    """Entries by key, in a young and an old generation."""

    def __init__(self, max_young_entries: int = MAX_YOUNG_ENTRIES, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._young: dict[bytes, Entry] = {}
        self._old: dict[bytes, Entry] = {}
        self._max_young_entries = max_young_entries
        self._max_young_bytes = max_bytes // 2
        self._young_bytes = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def find(self, key: bytes, get: Callable[[bytes], bytes | None], now_s: int) -> Entry | None:
        """The entry if it is still true."""
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is None:
                return None
            del self._old[key]
            self._keep(key, entry)
        for stamp, value in entry.stamps:
            if get(stamp) != value:
                del self._young[key]
                return None
        if entry.serial_s >= 0 and entry.serial_s != now_s:
            del self._young[key]
            return None
        if entry.uses >= 0:
            entry.uses -= 1
            if entry.uses < 0:
                del self._young[key]
                return None
        return entry

    def add(self, key: bytes, entry: Entry) -> None:
        """Remember the entry under the key."""
        self._keep(key, entry)

    def clear(self) -> None:
        """Forget everything."""
        self._young.clear()
        self._old.clear()
        self._young_bytes = 0

    def _keep(self, key: bytes, entry: Entry) -> None:
        if len(self._young) >= self._max_young_entries or self._young_bytes >= self._max_young_bytes:
            self._old = self._young
            self._young = {}
            self._young_bytes = 0
        self._young[key] = entry
        self._young_bytes += entry.size_bytes
