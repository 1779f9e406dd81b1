"""What can be wrong with access control records, and with a token."""

from __future__ import annotations


class RulesError(ValueError):
    """The rules of a policy cannot be read; the text is Consul's."""


class TokenNotFound(Exception):
    """No such token, or one that has expired."""

    def __init__(self) -> None:
        super().__init__("ACL not found")


class RootDenied(Exception):
    """The secret is the name of a built-in set of rights, which is no token."""

    def __init__(self) -> None:
        super().__init__("Cannot resolve root ACL")
