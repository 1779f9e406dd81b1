"""Errors collected into one text, as Consul lists them."""

from __future__ import annotations

from collections.abc import Sequence


def several_errors(problems: Sequence[str]) -> str:
    heading = "1 error occurred:" if len(problems) == 1 else f"{len(problems)} errors occurred:"
    return heading + "".join(f"\n\t* {problem}" for problem in problems) + "\n\n"
