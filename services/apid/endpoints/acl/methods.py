"""The types of auth methods that there are: what each says of its configuration, and of who logs in."""

from __future__ import annotations

from collections.abc import Callable

from apid.endpoints.acl import kubernetes
from lictor.state.acl import binding
from lictor.state.gotext import quote
from lictor.state.queries import acl
from lictor.state.rows import ACLAuthMethod
from lictor.state.store import ReadTxn
from lictor.state.writer import Refused

CONFIG_PROBLEMS: dict[str, Callable[[ACLAuthMethod], str]] = {"kubernetes": kubernetes.config_problem}


def check(row: ACLAuthMethod) -> None:
    """Errors: Refused for a stored method that cannot be used, from an archive for instance."""
    find_problem = CONFIG_PROBLEMS.get(row.type)
    problem = f"no auth method registered with type: {row.type}" if find_problem is None else find_problem(row)
    if problem:
        raise Refused(f"auth method validator for {quote(row.name)} could not be initialized: {problem}")


def for_binding_rules(txn: ReadTxn, name: str) -> binding.Method:
    """What binding rules need to know of a method. Errors: Refused."""
    row = acl.auth_method(txn, name).value
    if row is None:
        raise Refused(f"cannot find auth method with name {quote(name)}")
    check(row)
    return binding.Method(kubernetes.FIELDS, kubernetes.selector_problem)
