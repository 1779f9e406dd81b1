"""The syntax tree of HCL 1: lists of members, whose values are literals, lists or objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lictor.hcl.tokens import NOWHERE, Place, Token


@dataclass(slots=True)
class CommentGroup:
    """Comments with nothing, not even an empty line, between them; never empty."""

    comments: list[Token]

    @property
    def place(self) -> Place:
        return self.comments[0].place


@dataclass(slots=True)
class Literal:
    token: Token
    lead: CommentGroup | None = None
    """The comment above it; `lead` and `line` only inside a list."""
    line: CommentGroup | None = None

    KIND = "*ast.LiteralType"

    @property
    def place(self) -> Place:
        return self.token.place


@dataclass(slots=True)
class ListValue:
    place: Place
    """Where its bracket opens."""
    items: list[Value] = field(default_factory=list)

    KIND = "*ast.ListType"


@dataclass(slots=True)
class ObjectValue:
    place: Place
    """Where its brace opens."""
    members: Members
    end: Place = NOWHERE
    """Where its brace closes."""

    KIND = "*ast.ObjectType"


@dataclass(slots=True)
class Member:
    """`key = value`, or `key "label" … { … }`."""

    keys: list[Token]
    value: Value
    assign: Place = NOWHERE
    lead: CommentGroup | None = None
    line: CommentGroup | None = None

    KIND = "*ast.ObjectItem"

    @property
    def place(self) -> Place:
        return self.keys[0].place if self.keys else NOWHERE


@dataclass(slots=True)
class Members:
    """The members of an object or of the whole text, in order."""

    items: list[Member] = field(default_factory=list)

    KIND = "*ast.ObjectList"

    @property
    def place(self) -> Place:
        return self.items[0].place if self.items else NOWHERE

    def named(self, name: str) -> Members:
        """Those whose first key is the name, whatever its case, without that key."""
        wanted = name.casefold()
        return Members(
            [
                Member(item.keys[1:], item.value, item.assign, item.lead, item.line)
                for item in self.items
                if item.keys and item.keys[0].string().casefold() == wanted
            ]
        )

    def labelled(self) -> Members:
        """Those that have keys left."""
        return Members([item for item in self.items if item.keys])

    def plain(self) -> Members:
        """Those that have no keys left."""
        return Members([item for item in self.items if not item.keys])


@dataclass(slots=True)
class Document:
    members: Members
    comments: list[CommentGroup] = field(default_factory=list)


Value = Literal | ListValue | ObjectValue
Node = Literal | ListValue | ObjectValue | Member | Members


def literals_and_members(node: Node) -> Iterable[Literal | Member]:
    """Everything in the tree that may have comments, outside in."""
    if isinstance(node, Literal):
        yield node
    elif isinstance(node, ListValue):
        for value in node.items:
            yield from literals_and_members(value)
    elif isinstance(node, ObjectValue):
        yield from literals_and_members(node.members)
    elif isinstance(node, Member):
        yield node
        yield from literals_and_members(node.value)
    else:
        for item in node.items:
            yield from literals_and_members(item)
