"""Access decisions computed the slow, obvious way, to compare the real ones with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

RANK = {"deny": 4, "write": 3, "list": 2, "read": 1}
GRANTS = {"deny": 0, "read": 1, "list": 2, "write": 3}
WANTED = {"read": 1, "list": 2, "write": 3}


class Line(NamedTuple):
    """One rule of a policy."""

    name: str
    is_prefix: bool
    level: str


def merged(lines: Sequence[Line]) -> dict[tuple[str, bool], str]:
    """The level that wins for each name and form."""
    found: dict[tuple[str, bool], str] = {}
    for line in lines:
        key = (line.name, line.is_prefix)
        if key not in found or RANK[line.level] > RANK[found[key]]:
            found[key] = line.level
    return found


def decide(lines: Sequence[Line], name: str, wanted: str, default: bool) -> bool:
    """Whether the rules let `name` be accessed at the wanted level."""
    rules = merged(lines)
    level = rules.get((name, False))
    if level is None:
        covering = [prefix for prefix, is_prefix in rules if is_prefix and name.startswith(prefix)]
        if not covering:
            return default
        level = rules[max(covering, key=len), True]
    return GRANTS[level] >= WANTED[wanted]


def decide_tree(lines: Sequence[Line], prefix: str, default: bool) -> bool:
    """Whether the rules let everything below a prefix be written."""
    rules = merged(lines)
    covering = [name for name, is_prefix in rules if is_prefix and prefix.startswith(name)]
    if covering and rules[max(covering, key=len), True] != "write":
        return False
    if any(level != "write" for (name, _), level in rules.items() if name.startswith(prefix)):
        return False
    return True if covering else default
