"""`runtime.*`: memory, garbage collection and work in flight of this process, read when somebody asks."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from typing import Any

from lictor.telemetry.registry import Registry

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
STATM = "/proc/self/statm"


class ProcessFigures:
    """Watches the cycle collector from `start` to `stop`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._pauses_ns = registry.sample("runtime.gc_pause_ns")
        self._paused_at_ns = 0
        self._total_pause_ns = 0

    def start(self) -> None:
        """Begin to count."""
        gc.callbacks.append(self._collector)
        self._registry.before_reading.append(self.read)

    def stop(self) -> None:
        """Stop counting."""
        if self._collector in gc.callbacks:
            gc.callbacks.remove(self._collector)
            self._registry.before_reading.remove(self.read)

    def _collector(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._paused_at_ns = time.perf_counter_ns()
        else:
            pause_ns = time.perf_counter_ns() - self._paused_at_ns
            self._total_pause_ns += pause_ns
            self._pauses_ns.add(pause_ns)

    def read(self) -> None:
        """Set the gauges."""
        own_pages, writable_pages = _memory_pages()
        blocks = sys.getallocatedblocks()
        generations = gc.get_stats()
        freed = sum(int(generation["collected"]) for generation in generations)
        values = {
            "alloc_bytes": own_pages * PAGE_BYTES,
            "sys_bytes": writable_pages * PAGE_BYTES,
            "heap_objects": blocks,
            "malloc_count": blocks + freed,
            "free_count": freed,
            "num_goroutines": _tasks() + threading.active_count(),
            "total_gc_pause_ns": self._total_pause_ns,
            "total_gc_runs": sum(int(generation["collections"]) for generation in generations),
        }
        for name, value in values.items():
            self._registry.gauge(f"runtime.{name}").set(float(value))


def _tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0


def _memory_pages() -> tuple[int, int]:
    """Resident pages that are not of files, and pages set aside for data; zeros where the system does not tell.

    The state file that daemons map is in neither: its pages are the system's, to take back when it likes.
    """
    try:
        with open(STATM) as file:
            _, resident, shared, _, _, data, *_ = file.read().split()
    except OSError:
        return 0, 0
    return int(resident) - int(shared), int(data)
