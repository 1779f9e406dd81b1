"""Auth methods: what may be created and changed (Consul 1.7: acl_endpoint.go, AuthMethodSet)."""

from __future__ import annotations

import re
from collections.abc import Callable

from lictor.state.acl.links import Fields
from lictor.state.queries import acl
from lictor.state.rows import ACLAuthMethod
from lictor.state.store import ReadTxn
from lictor.state.writer import Refused

_NAME = re.compile(r"[A-Za-z0-9\-_]{1,128}")


def prepared(txn: ReadTxn, fields: Fields, config_problems: dict[str, Callable[[ACLAuthMethod], str]]) -> ACLAuthMethod:
    """The method that these fields ask for. Errors: Refused.

    `config_problems` says for each known type what is wrong with a method's configuration; empty when nothing is.
    """
    name = fields.get("Name", "")
    if not name:
        raise Refused("Invalid Auth Method: no Name is set")
    if _NAME.fullmatch(name) is None:
        raise Refused("Invalid Auth Method: invalid Name. Only alphanumeric characters, '-' and '_' are allowed")
    existing = acl.auth_method(txn, name).value
    kind = fields.get("Type", "")
    if existing is not None:
        if kind not in ("", existing.type):
            raise Refused("the Type field of an Auth Method is immutable")
        kind = existing.type
    if kind not in config_problems:
        raise Refused(f"Invalid Auth Method: Type should be one of: [{' '.join(sorted(config_problems))}]")
    row = ACLAuthMethod(
        name=name, type=kind, description=fields.get("Description", ""), config=fields.get("Config") or {}
    )
    if problem := config_problems[kind](row):
        raise Refused(f"Invalid Auth Method: {problem}")
    return row
