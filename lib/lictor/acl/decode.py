"""Rules out of a syntax tree: the shapes that HCL 1 lets a text take, and what is said of those it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lictor.hcl import tokens
from lictor.hcl.tokens import error_at
from lictor.hcl.tree import ListValue, Literal, Member, Members, Node, ObjectValue


class RuleRow(NamedTuple):
    """One rule: its name and the fields that were asked for, "" where it has none."""

    name: str
    values: tuple[str, ...]


def decode_string(members: Members, word: str, path: str) -> str:
    """The value of `word = "…"`, the last one if there are several, "" if there is none. Raises HclError."""
    found = members.named(word)
    value = ""
    labelled = found.labelled()
    if labelled.items:
        value = _string(labelled, f"{path}.{word}")
    for match in found.plain().items:
        value = _string(_content(match.value), f"{path}.{word}")
    return value


def decode_rows(members: Members, word: str, key_field: str, fields: Sequence[str]) -> list[RuleRow]:
    """All rules of `word "name" { … }`, in their order within each way of writing. Raises HclError."""
    found = members.named(word)
    path = f"root.{word}"
    labelled = found.labelled()
    rows = _rows(labelled, path, key_field, fields) if labelled.items else []
    for match in found.plain().items:
        rows += _rows(_content(match.value), path, key_field, fields)
    return rows


def _content(value: Literal | ListValue | ObjectValue) -> Literal | ListValue | Members:
    return value.members if isinstance(value, ObjectValue) else value


def _string(node: Node, path: str) -> str:
    if isinstance(node, Literal):
        if node.token.kind == tokens.NUMBER:
            return node.token.text
        if node.token.kind in (tokens.STRING, tokens.HEREDOC):
            return node.token.string()
    raise error_at(node.place, f"{path}: unknown type for string {node.KIND}")


def _rows(node: Node, path: str, key_field: str, fields: Sequence[str]) -> list[RuleRow]:
    if isinstance(node, Members):
        items: Sequence[Node] = [_expanded(item) for item in node.items]
    elif isinstance(node, ListValue):
        items = node.items
    else:
        raise error_at(node.place, f"unknown slice type: {node.KIND}")
    return [_row(item, f"{path}[{index}]", key_field, fields) for index, item in enumerate(items)]


def _expanded(item: Member) -> Member:
    """With two labels, the second one is a member inside the first."""
    if len(item.keys) != 2:
        return item
    inner = Member(item.keys[1:], item.value, item.assign)
    return Member(item.keys[:1], ObjectValue(tokens.NOWHERE, Members([inner])))


def _row(node: Node, path: str, key_field: str, fields: Sequence[str]) -> RuleRow:
    item = node if isinstance(node, Member) else None
    content: Node = item.value if item is not None else node
    if isinstance(content, ObjectValue):
        content = content.members
    if isinstance(content, Literal) and item is not None:
        content = Members([item])
    if not isinstance(content, Members):
        raise error_at(content.place, f"{path}: not an object type for struct ({content.KIND})")
    if item is None:
        raise error_at(content.place, f"{path}: {key_field} asked for 'key', impossible")
    values = tuple(decode_string(content, field, path) for field in fields)
    return RuleRow(item.keys[0].string(), values)
