"""Why a change of the node's state is refused: one tree, mapped once to an HTTP status and its text."""

from __future__ import annotations


class LocalStateError(Exception):
    """A refused change; `status` is the HTTP status that a client gets with the text."""

    status = 500

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        if status is not None:
            self.status = status


class InvalidDefinition(LocalStateError):
    """The definition itself is wrong."""

    status = 400


class NotRegistered(LocalStateError):
    """What was named is not registered on this node."""

    status = 404
