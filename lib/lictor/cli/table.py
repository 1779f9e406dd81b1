"""Tables of text: columns as wide as their widest cell, two blanks (or another gap) between."""

from __future__ import annotations

from collections.abc import Sequence

GAP = "  "
WIDE_GAP = " " * 6


def table(rows: Sequence[Sequence[str]], gap: str = GAP) -> str:
    """The rows aligned; the last cell of a row is not padded."""
    width = max((len(row) for row in rows), default=0)
    widths = [max((len(row[n]) for row in rows if n < len(row)), default=0) for n in range(width)]
    return "\n".join(
        gap.join([*(cell.ljust(widths[n]) for n, cell in enumerate(row[:-1])), row[-1] if row else ""]) for row in rows
    )
