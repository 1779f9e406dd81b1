"""A syntax tree printed as HCL 1: two blanks a level, neighbouring one-line members aligned, comments kept.

The layout is that of HashiCorp's own printer, including its oddities, so that texts come out the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from lictor.hcl import tokens
from lictor.hcl.tokens import NOWHERE, Place
from lictor.hcl.tree import (
    CommentGroup,
    Document,
    ListValue,
    Literal,
    Member,
    ObjectValue,
    Value,
    literals_and_members,
)

INDENT = "  "
_VERBATIM = "\ue123"
"""Marks lines that are not indented; no text may contain it."""
_BEHIND_ALL = Place(1 << 30, 1 << 30, 0)


def print_document(document: Document) -> str:
    """The text of a tree, without a line end behind the last member."""
    return _without_marks(_Printer(document).document())


class _Printer:
    """One document being printed; `_previous` is where the member printed last began, or its object ended."""

    def __init__(self, document: Document) -> None:
        self._members = document.members
        self._free = _free_comments(document)
        self._previous = NOWHERE

    def document(self) -> str:
        items = self._members.items
        found: list[str] = []
        for index in range(len(items) + 1):
            is_end = index == len(items)
            found.append(self._comments_before(_BEHIND_ALL if is_end else items[index].place, is_end))
            if is_end:
                break
            item = items[index]
            self._previous = item.place
            found.append(self._member(item))
            if index != len(items) - 1:
                found.append("\n")
                follower = items[index + 1]
                if (
                    follower.place.line != item.place.line + 1
                    or not _is_bare_block(follower)
                    or not _is_bare_block(item)
                ):
                    found.append("\n")
        return "".join(found)

    def _comments_before(self, place: Place, is_end: bool) -> str:
        """The free comments between the previous member and a place, at the top of the document."""
        found = ""
        for group in self._free:
            between = [one for one in group.comments if self._is_between(one.place, place)]
            if between and is_end and self._previous.line:
                found += "\n\n"
            found += "".join(f"{one.text}\n" for one in between)
            if between and not is_end:
                found += "\n"
        return found

    def _is_between(self, comment: Place, place: Place) -> bool:
        return comment.is_after(self._previous) and comment.is_before(place)

    # ------------------------------------------------------------------------------------------------ members

    def _member(self, item: Member) -> str:
        found = "".join(f"{comment.text}\n" for comment in item.lead.comments) if item.lead else ""
        is_on_one_line = item.value.place.line == item.keys[0].place.line
        if item.line and not is_on_one_line:
            found += "".join(f"{comment.text}\n" for comment in item.line.comments)
        for key in item.keys:
            found += f"{key.text} "
            if item.assign.line and len(item.keys) == 1:
                found += "= "
        found += self._value(item.value)
        if item.line and is_on_one_line:
            found += " " + "".join(comment.text for comment in item.line.comments)
        return found

    def _value(self, value: Value) -> str:
        if isinstance(value, Literal):
            return _literal(value)
        return self._list(value) if isinstance(value, ListValue) else self._object(value)

    def _object(self, value: ObjectValue) -> str:
        items = value.members.items
        found = ["{"]
        index = 0
        has_comment = has_line_end = False
        while True:
            place = value.end if index == len(items) else items[index].place
            for group in self._free:
                between = [one for one in group.comments if self._is_between(one.place, place)]
                for comment in between:
                    if not has_line_end:
                        has_line_end = True
                        found.append("\n")
                    if index > 0:
                        has_comment = True
                        found.append("\n")
                    found.append(_indented(_verbatim(comment.text)))
                if between:
                    found.append("\n")
                    if place != value.end and place.line != between[-1].place.line + 1:
                        found.append("\n")
            if index == len(items):
                self._previous = value.end
                break
            if not has_line_end:
                found.append("\n")
                has_line_end = True
            aligned = self._neighbours(items, index)
            index += len(aligned)
            if not has_comment and index != len(aligned):
                found.append("\n")
            if aligned:
                self._previous = aligned[-1].place
                found.append(_indented(self._aligned(aligned)))
            else:
                self._previous = items[index].place
                found.append(_indented(self._member(items[index])))
                index += 1
            found.append("\n")
        return "".join(found) + "}"

    def _neighbours(self, items: Sequence[Member], start: int) -> list[Member]:
        """The one-line members from here on that stand on lines next to each other."""
        found: list[Member] = []
        if len(items) == 1:
            return found
        for index in range(start, len(items)):
            item = items[index]
            if self._member(item).count("\n") > 1:
                break
            line = item.place.line
            next_line = items[index + 1].place.line if index != len(items) - 1 else 0
            previous_line = items[index - 1].place.line if index != 0 else 0
            if line + 1 == next_line:
                found.append(item)
            elif line - 1 == previous_line:
                found.append(item)
                break
            else:
                break
        return found

    def _aligned(self, items: Sequence[Member]) -> str:
        longest_key = max(_width(item.keys[0].text) for item in items)
        longest_value = max(_width(self._value(item.value)) for item in items)
        lines: list[str] = []
        for item in items:
            line = "".join(f"{comment.text}\n" for comment in item.lead.comments) if item.lead else ""
            for key in item.keys:
                line += key.text + " " * (longest_key - _width(key.text) + 1)
                if len(item.keys) == 1:
                    line += "= "
            value = self._value(item.value)
            line += value
            if item.line and item.value.place.line == item.keys[0].place.line:
                line += " " * (longest_value - _width(value) + 1)
                line += "".join(comment.text for comment in item.line.comments)
            lines.append(line)
        return "\n".join(lines)

    # ------------------------------------------------------------------------------------------------ lists

    def _list(self, value: ListValue) -> str:
        if _is_one_line(value):
            return self._one_line_list(value)
        longest = max((_width(each.token.text) for each in value.items if isinstance(each, Literal)), default=0)
        found = "[\n"
        has_empty_line = False
        for index, item in enumerate(value.items):
            literal = item if isinstance(item, Literal) else None
            lead = literal.lead if literal else None
            if lead:
                if not has_empty_line and index != 0:
                    found += "\n"
                found += "".join(f"{_indented(comment.text)}\n" for comment in lead.comments)
            text = self._value(item)
            found += _indented(text)
            found += f"\n{INDENT}," if literal and literal.token.kind == tokens.HEREDOC else ","
            if literal and literal.line:
                found += " " + " " * (longest - _width(text))
                found += "".join(comment.text for comment in literal.line.comments)
            found += "\n"
            has_empty_line = bool(lead) and index != len(value.items) - 1
            if has_empty_line:
                found += "\n"
        return found + "]"

    def _one_line_list(self, value: ListValue) -> str:
        found = "["
        for index, item in enumerate(value.items):
            found += (", " if index else "") + self._value(item)
            if isinstance(item, Literal) and item.token.kind == tokens.HEREDOC:
                found += "\n"
        return found + "]"


def _free_comments(document: Document) -> list[CommentGroup]:
    """The comments that belong to no member or literal, in order."""
    taken = {
        comment.place
        for node in literals_and_members(document.members)
        for group in (node.lead, node.line)
        if group is not None
        for comment in group.comments
    }
    return sorted((group for group in document.comments if group.place not in taken), key=lambda group: group.place)


def _literal(literal: Literal) -> str:
    text = literal.token.text
    if literal.token.kind == tokens.HEREDOC:
        return _verbatim(text.removesuffix("\n"))
    return _verbatim(text) if literal.token.kind == tokens.STRING and "\n" in text else text


def _is_one_line(value: ListValue) -> bool:
    """Whether a list of literals was on one line, without comments behind them; a heredoc only alone."""
    return all(
        isinstance(item, Literal)
        and item.place.line == value.place.line
        and (item.token.kind != tokens.HEREDOC or len(value.items) == 1)
        and item.line is None
        for item in value.items
    )


def _is_bare_block(item: Member) -> bool:
    """Whether a member is a block without content, assignment and comment above."""
    return (
        item.lead is None
        and not item.assign.line
        and isinstance(item.value, ObjectValue)
        and not item.value.members.items
    )


def _width(text: str) -> int:
    """Bytes, which is what texts are aligned by."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _indented(text: str) -> str:
    return "\n".join(INDENT + line if line else line for line in text.split("\n"))


def _verbatim(text: str) -> str:
    """Every line but the first marked as not to be indented."""
    return "\n".join(_VERBATIM + line if index and line else line for index, line in enumerate(text.split("\n")))


def _without_marks(text: str) -> str:
    """Marks go, and with them what indentation stands before them."""
    return "\n".join(line.rpartition(_VERBATIM)[2] for line in text.split("\n"))
