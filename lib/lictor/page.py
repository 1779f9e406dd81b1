"""The raft page: 64 bytes of `<data-dir>/run/raft.page` that raftd writes and apid and dnsd map.

It answers without any call what a reader needs for each request: may this server serve `default` reads (it is
the leader and its lease lasts), how old is what it has, which state directory is current. Written under a sequence
lock: the number is odd while a write is going on, and a reader that saw it odd or changed reads again.
"""

import mmap
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from lictor.rpc.runfile import run_directory

PAGE_BYTES = 64
FORMAT = 1
_SEQUENCE = struct.Struct("<Q")
# format, role, flags, generation, term, commit, applied, lease expiry, leader contact
_BODY = struct.Struct("<BBHIQQQqq")
_BODY_OFFSET = 8
_KNOWN_LEADER = 1
_READY = 2
_SOLE_VOTER = 4
# A writer that died inside a write leaves an odd number; after so many tries the body is taken as it is.
_MAX_TRIES = 1000
NEVER_NS = -1


def boottime_ns() -> int:
    """The clock of leases and contacts: CLOCK_BOOTTIME, in nanoseconds.

    Unlike CLOCK_MONOTONIC it goes on while the machine is suspended, as the other servers' clocks do: a leader that
    wakes up finds its lease over.
    """
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Role(IntEnum):
    """What this server is in consensus."""

    FOLLOWER = 0
    CANDIDATE = 1
    LEADER = 2
    SHUTDOWN = 3


@dataclass(frozen=True, slots=True)
class RaftState:
    """One reading of the page. Times are `boottime_ns`.

    `generation` is N of the current `<data-dir>/raft/state-N`. `lease_expiry_ns` is 0 unless this server is the leader;
    `ready` is set once a leader has applied everything committed before its term. `leader_contact_ns` is when the
    leader was last heard, NEVER_NS before the first time. `sole_voter`: no other server has a vote.
    """

    role: Role = Role.FOLLOWER
    generation: int = 0
    term: int = 0
    commit_index: int = 0
    applied_index: int = 0
    lease_expiry_ns: int = 0
    leader_contact_ns: int = NEVER_NS
    known_leader: bool = False
    ready: bool = False
    sole_voter: bool = False

    def holds_lease(self, now_ns: int) -> bool:
        """Whether nobody else can have been elected: a read that sees `commit_index` applied is linearizable."""
        return self.role is Role.LEADER and self.ready and now_ns < self.lease_expiry_ns

    def may_serve_default(self, now_ns: int) -> bool:
        """Whether a read from the local state is linearizable right now without asking anybody or waiting.

        What is committed has to be applied, too: a follower that has applied it may have shown it already.
        """
        return self.applied_index >= self.commit_index and self.holds_lease(now_ns)

    def may_serve_consistent(self, now_ns: int) -> bool:
        """The same without trusting any clock: a leader that alone has a vote need not ask whether it still leads."""
        return self.sole_voter and self.may_serve_default(now_ns)


class PageWriter:
    """The one writer, in raftd."""

    def __init__(self, data_dir: str | Path) -> None:
        path = run_directory(data_dir) / "raft.page"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, PAGE_BYTES)
            self._map = mmap.mmap(descriptor, PAGE_BYTES)
        finally:
            os.close(descriptor)
        # A writer that died in the middle left an odd number.
        self._sequence = _SEQUENCE.unpack_from(self._map)[0] | 1
        self.write(RaftState())

    def write(self, state: RaftState) -> None:
        flags = (_KNOWN_LEADER if state.known_leader else 0) | (_READY if state.ready else 0)
        flags |= _SOLE_VOTER if state.sole_voter else 0
        writing = self._sequence | 1
        _SEQUENCE.pack_into(self._map, 0, writing)
        _BODY.pack_into(
            self._map,
            _BODY_OFFSET,
            FORMAT,
            state.role,
            flags,
            state.generation,
            state.term,
            state.commit_index,
            state.applied_index,
            state.lease_expiry_ns,
            state.leader_contact_ns,
        )
        self._sequence = writing + 1
        _SEQUENCE.pack_into(self._map, 0, self._sequence)

    def close(self) -> None:
        self._map.close()


class PageReader:
    """A mapped reader; `read` costs about a microsecond."""

    def __init__(self, data_dir: str | Path) -> None:
        """Raises FileNotFoundError before raftd's first start."""
        path = run_directory(data_dir) / "raft.page"
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), PAGE_BYTES, access=mmap.ACCESS_READ)
        self._last: RaftState | None = None
        self._last_sequence = -1

    def read(self) -> RaftState:
        read_sequence: Callable[..., tuple[int]] = _SEQUENCE.unpack_from
        for _ in range(_MAX_TRIES):
            before = read_sequence(self._map)[0]
            if before == self._last_sequence and self._last is not None:
                return self._last
            body = _BODY.unpack_from(self._map, _BODY_OFFSET)
            if before % 2 == 0 and read_sequence(self._map)[0] == before:
                self._last = self._decode(body)
                self._last_sequence = before
                return self._last
        return self._last if self._last is not None else RaftState()

    @staticmethod
    def _decode(body: tuple[int, ...]) -> RaftState:
        _format, role, flags, generation, term, commit, applied, lease_expiry_ns, contact_ns = body
        return RaftState(
            role=Role(role),
            generation=generation,
            term=term,
            commit_index=commit,
            applied_index=applied,
            lease_expiry_ns=lease_expiry_ns,
            leader_contact_ns=contact_ns,
            known_leader=bool(flags & _KNOWN_LEADER),
            ready=bool(flags & _READY),
            sole_voter=bool(flags & _SOLE_VOTER),
        )

    def close(self) -> None:
        self._map.close()
