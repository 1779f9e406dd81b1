"""Memory of a whole process tree as PSS: shared pages are divided among those who share them."""

from pathlib import Path

KIB = 1024
MB = 1_000_000


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *children(int(child))]
    return found


def pss_bytes(pid: int) -> int:
    """Proportional set size of one process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * KIB
    return 0


def tree_pss_mb(pid: int) -> float:
    """PSS of a process and all its descendants, in megabytes."""
    return sum(pss_bytes(each) for each in (pid, *children(pid))) / MB
