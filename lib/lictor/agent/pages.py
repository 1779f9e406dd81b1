"""Gives memory back that the supervisor only read.

It imports for its daemons what it hardly runs itself (gRPC's library above all), so that they share those pages. Once
they run, its own view of unmodified library pages is let go: they stay in the page cache, and what is needed again is
mapped again without a copy.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator

SMAPS = "/proc/self/smaps"
MADV_DONTNEED = 4


def read_only_files(smaps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Address and length in bytes of mappings of files of which no page was ever written to."""
    current: tuple[int, int] | None = None
    for line in smaps:
        fields = line.split()
        if not fields[0].endswith(":"):
            start, _, end = fields[0].partition("-")
            from_file = len(fields) > 5 and fields[5].startswith("/")
            writable = "w" in fields[1]
            current = (int(start, 16), int(end, 16) - int(start, 16)) if from_file and not writable else None
        elif fields[0] == "Anonymous:" and current is not None and fields[1] == "0":
            yield current


def release_read_only() -> int:
    """Lets go of them; returns the bytes of address space advised. Where the system cannot, nothing happens."""
    try:
        with open(SMAPS, encoding="utf-8", errors="replace") as file:
            mappings = list(read_only_files(file))
        madvise = ctypes.CDLL(None, use_errno=True).madvise
    except (OSError, AttributeError):
        return 0
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return sum(length for start, length in mappings if madvise(start, length, MADV_DONTNEED) == 0)
