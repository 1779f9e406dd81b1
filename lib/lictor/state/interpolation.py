"""Prepared query templates: `${…}` in the strings of a query's Service, filled in from the name that was asked for.

Known: `name.full`, `name.prefix` (the template's name), `name.suffix`, `match(n)` (groups of Template.Regexp on the
full name; empty when there is no such group) and `agent.segment`. `$${` stands for `${`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from lictor import regexp
from lictor.state.rows import PreparedQuery

PREFIX_MATCH = "name_prefix_match"
_PLACE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_CALL = re.compile(r"match\(\s*(\d+)\s*\)")
VARIABLES = frozenset({"name.full", "name.prefix", "name.suffix", "agent.segment"})


def template_problem(row: PreparedQuery) -> str:
    """What is wrong with a template; empty when nothing is."""
    kind = row.template["Type"]
    if kind != PREFIX_MATCH:
        return f"Bad Template.Type '{kind}'"
    problem = regexp.problem_of(row.template["Regexp"])
    if problem:
        return f"Bad Template.Regexp '{row.template['Regexp']}': {problem}"
    problems: list[str] = []
    _map_texts(row.service, "", lambda text, path: _collect_problem(text, path, problems))
    return problems[0] if problems else ""


def _collect_problem(text: str, path: str, problems: list[str]) -> str:
    for match in _PLACE.finditer(text):
        if match[0] == "$${":
            continue
        inner = (match[1] or "").strip()
        if match[1] is None:
            problems.append(f"Bad format '{text}' in Service{path}: expected closing brace")
        elif inner not in VARIABLES and _CALL.fullmatch(inner) is None:
            problems.append(f"Bad format '{text}' in Service{path}: unknown variable accessed: {inner}")
    return text


def render_query(row: PreparedQuery, name: str, segment: str = "") -> PreparedQuery:
    """The query that a template gives for the name asked for."""
    groups: tuple[str, ...] = ()
    if row.template["Regexp"]:
        groups = regexp.compiled(row.template["Regexp"]).groups(name)
    known = {
        "name.full": name,
        "name.prefix": row.name,
        "name.suffix": name[len(row.name) :],
        "agent.segment": segment,
    }

    def fill(text: str, path: str) -> str:
        return _PLACE.sub(lambda place: _filled(place, known, groups), text)

    service = _map_texts(row.service, "", fill)
    if row.template["RemoveEmptyTags"] and service["Tags"]:
        service["Tags"] = [tag for tag in service["Tags"] if tag]
    return replace(row, service=service)


def _filled(place: re.Match[str], known: dict[str, str], groups: tuple[str, ...]) -> str:
    if place[0] == "$${":
        return "${"
    inner = (place[1] or "").strip()
    call = _CALL.fullmatch(inner)
    if call is None:
        return known.get(inner, place[0])
    number = int(call[1])
    return groups[number] if number < len(groups) else ""


def _map_texts(item: Any, path: str, change: Callable[[str, str], str]) -> Any:
    """The value with every text in it (not the names of fields) changed."""
    if isinstance(item, str):
        return change(item, path)
    if isinstance(item, list):
        return [_map_texts(element, f"{path}[{position}]", change) for position, element in enumerate(item)]
    if isinstance(item, dict):
        return {key: _map_texts(element, f"{path}.{key}", change) for key, element in item.items()}
    return item
