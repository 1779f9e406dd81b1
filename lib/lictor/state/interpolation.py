"""Prepared query templates: the strings of a query's Service filled in from the name that was asked for.

Known: `name.full`, `name.prefix` (the template's name), `name.suffix`, `match(n)` (groups of Template.Regexp on the
full name; empty when there is no such group) and `agent.segment`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from lictor.regexp import RegexpError, compiled
from lictor.state.rows import PreparedQuery
from lictor.state.templates import FormatProblem, Function, Scope, TemplateProblem, fill

PREFIX_MATCH = "name_prefix_match"
_MAPS = ("NodeMeta", "ServiceMeta")


def template_problem(row: PreparedQuery) -> str:
    """What is wrong with a template; empty when nothing is."""
    kind = row.template["Type"]
    if kind != PREFIX_MATCH:
        return f"Bad Template.Type '{kind}'"
    try:
        compiled(row.template["Regexp"])
    except RegexpError as error:
        return f"Bad Regexp: {error}"
    try:
        render_query(row, row.name)
    except TemplateProblem as problem:
        return str(problem)
    return ""


def render_query(row: PreparedQuery, name: str, segment: str = "") -> PreparedQuery:
    """The query that a template gives for the name asked for. Errors: TemplateProblem."""
    groups: tuple[str, ...] = ()
    if row.template["Regexp"]:
        groups = compiled(row.template["Regexp"]).groups(name)
    scope = Scope(
        {
            "name.full": name,
            "name.prefix": row.name,
            "name.suffix": name.removeprefix(row.name),
            "agent.segment": segment,
        },
        {"match": Function(1, lambda number: groups[number] if 0 <= number < len(groups) else "")},
    )

    def filled(text: str, path: str) -> str:
        try:
            return fill(text, scope)
        except TemplateProblem as problem:
            what = "format" if isinstance(problem, FormatProblem) else "evaluation for"
            raise TemplateProblem(f"Bad {what} '{text}' in Service{path}: {problem}") from None

    service = _map_texts(row.service, "", filled)
    if row.template["RemoveEmptyTags"]:
        service["Tags"] = [tag for tag in service["Tags"] or () if tag]
    return replace(row, service=service)


def _map_texts(item: Any, path: str, change: Callable[[str, str], str]) -> Any:
    """The value with every text in it (not the names of fields) changed."""
    if isinstance(item, str):
        return change(item, path)
    if isinstance(item, list):
        return [_map_texts(element, f"{path}[{position}]", change) for position, element in enumerate(item)]
    if isinstance(item, dict):
        brackets = path[1:] in _MAPS
        return {
            key: _map_texts(element, f"{path}[{key}]" if brackets else f"{path}.{key}", change)
            for key, element in item.items()
        }
    return item
