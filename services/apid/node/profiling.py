"""What a running apid can tell about itself: where its time goes, what waits, what fills its memory.

Consul answers these questions with Go's pprof files. Ours are plain text about Python: the profile is cProfile's table,
"goroutines" are tasks and threads, the heap is objects by type, the trace is how late the event loop ran.
"""

from __future__ import annotations

import asyncio
import gc
import io
import sys
import threading
import traceback
from collections import Counter

SHOWN_FUNCTIONS = 100
SHOWN_TYPES = 100
SHOWN_TASKS = 10_000
STACK_FRAMES = 32
TRACE_STEP_S = 0.01


class AlreadyProfiling(Exception):
    """One profile at a time."""


class Profiler:
    """Profiles the event loop's thread, which serves everything, while it goes on serving."""

    def __init__(self) -> None:
        self._running = False

    async def profile(self, seconds: float) -> str:
        """The functions that took the time, as text. Raises AlreadyProfiling."""
        if self._running:
            raise AlreadyProfiling("cpu profiling already in use")
        import cProfile
        import pstats

        self._running = True
        profile = cProfile.Profile()
        try:
            profile.enable()
            await asyncio.sleep(seconds)
        finally:
            profile.disable()
            self._running = False
        out = io.StringIO()
        pstats.Stats(profile, stream=out).sort_stats("cumulative").print_stats(SHOWN_FUNCTIONS)
        return out.getvalue()


async def trace(seconds: float) -> str:
    """How late the event loop came back from short sleeps: what clients of a busy process notice."""
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    lines = ["seconds\tlate_ms"]
    while (now_s := loop.time()) < begin_s + seconds:
        await asyncio.sleep(TRACE_STEP_S)
        late_ms = (loop.time() - now_s - TRACE_STEP_S) * 1000
        lines.append(f"{now_s - begin_s:.3f}\t{late_ms:.3f}")
    return "\n".join(lines) + "\n"


def stacks() -> str:
    """Every task and every thread with its stack."""
    out = io.StringIO()
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    out.write(f"tasks: {len(tasks)}\n\n")
    for task in tasks[:SHOWN_TASKS]:
        out.write(f"{task.get_name()}: {task.get_coro()!r}\n")
        for frame in task.get_stack(limit=STACK_FRAMES):
            # Frames of compiled code have no line.
            out.write(f"  {frame.f_code.co_filename}:{frame.f_lineno or 0} {frame.f_code.co_qualname}\n")
        out.write("\n")
    frames = sys._current_frames()
    threads = threading.enumerate()
    out.write(f"threads: {len(threads)}\n\n")
    for thread in threads:
        out.write(f"{thread.name}\n")
        current = frames.get(thread.ident or 0)
        if current is not None:
            out.write("".join(traceback.format_stack(current, limit=STACK_FRAMES)))
        out.write("\n")
    return out.getvalue()


def heap() -> str:
    """Objects that the cycle collector knows, by type, the most frequent first."""
    kinds = Counter(f"{type(found).__module__}.{type(found).__qualname__}" for found in gc.get_objects())
    lines = [f"{count}\t{kind}" for kind, count in kinds.most_common(SHOWN_TYPES)]
    head = f"objects: {kinds.total()}  blocks: {sys.getallocatedblocks()}  collections: {gc.get_count()}"
    return "\n".join((head, "", *lines)) + "\n"
