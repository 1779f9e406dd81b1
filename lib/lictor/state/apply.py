"""Applying committed commands: the only way the replicated state changes.

Deterministic: the same commands at the same indexes give the same bytes on every server. One command is all or
nothing; a refused one changes nothing and its result says why. Every command takes its index, whatever comes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from lictor.state import commands as c
from lictor.state.commands import Result, decode_command
from lictor.state.machine import (
    acl,
    autopilot,
    catalog,
    certificate_authority,
    config_entry,
    coordinate,
    intention,
    kv,
    query,
    session,
    txn,
)
from lictor.state.store import WriteTxn
from lictor.state.writer import Refused, ReleasedLock, Writer


class Applied(msgspec.Struct, frozen=True):
    """What a batch did, in the order of its commands where there is one per command."""

    results: list[Result]
    topics: set[str]
    """Every topic that changed."""
    released_locks: list[ReleasedLock]
    """Keys whose holders were destroyed: the leader starts their lock-delay."""
    created_sessions: list[str]
    destroyed_sessions: list[str]


def apply(transaction: WriteTxn, index: int, command: c.AnyCommand) -> tuple[Result, set[str]]:
    """Applies one command: its result and the topics it changed."""
    writer = Writer(transaction)
    result = _apply_one(writer, index, command)
    writer.flush()
    return result, writer.topics


def apply_batch(transaction: WriteTxn, entries: Iterable[tuple[int, bytes]]) -> Applied:
    """Applies encoded commands in order, in one transaction that the caller commits.

    A command that cannot be decoded (a newer server wrote it) is refused like any other.
    """
    writer = Writer(transaction)
    results: list[Result] = []
    for index, raw in entries:
        try:
            command = decode_command(raw)
        except msgspec.DecodeError as error:
            results.append(c.Failed(f"command at index {index} is not understood: {error}"))
            continue
        results.append(_apply_one(writer, index, command))
    writer.flush()
    return Applied(results, writer.topics, writer.released_locks, writer.created_sessions, writer.destroyed_sessions)


def _apply_one(writer: Writer, index: int, command: c.AnyCommand) -> Result:
    writer.index = index
    if type(command) is c.KV:
        # A key operation decides before it writes: nothing to undo.
        try:
            return kv.apply_kv(writer, command)
        except Refused as refusal:
            return c.Failed(refusal.text, refusal.kind)
    writer.begin()
    try:
        result = _HANDLERS[type(command)](writer, command)
    except Refused as refusal:
        writer.undo()
        return c.Failed(refusal.text, refusal.kind)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Its nested parts are not what they should be. It is in the log of every server: none may fall over it.
        writer.undo()
        return c.Failed(f"command at index {index} is malformed: {error!r}")
    if type(result) is c.TxnResult and result.errors:
        writer.undo()
    else:
        writer.keep()
    return result


def _noop(writer: Writer, command: c.Noop) -> Result:
    return c.Done()


def _destroy_session(writer: Writer, command: c.SessionDestroy) -> Result:
    session.destroy(writer, command.session_id)
    return c.Done()


def _reap(writer: Writer, command: c.TombstoneReap) -> Result:
    kv.reap_tombstones(writer, command.index)
    return c.Done()


def _next_serial(writer: Writer, command: c.CANextSerial) -> Result:
    return c.Number(certificate_authority.next_serial(writer))


_HANDLERS: dict[type, Callable[[Writer, Any], Result]] = {
    c.Noop: _noop,
    c.Register: catalog.register,
    c.Deregister: catalog.deregister,
    c.SessionCreate: session.create,
    c.SessionDestroy: _destroy_session,
    c.Txn: txn.apply_txn,
    c.CoordinateBatch: coordinate.apply_batch_of_coordinates,
    c.QuerySet: query.set_query,
    c.QueryDelete: query.delete_query,
    c.ConfigSet: config_entry.set_entry,
    c.ConfigDelete: config_entry.delete_entry,
    c.IntentionSet: intention.set_intention,
    c.IntentionDelete: intention.delete_intention,
    c.ConfigReplicate: config_entry.replicate,
    c.IntentionReplicate: intention.replicate,
    c.CASetConfig: certificate_authority.set_config,
    c.CASetRoots: certificate_authority.set_roots,
    c.CASetProviderState: certificate_authority.set_provider_state,
    c.CADeleteProviderState: certificate_authority.delete_provider_state,
    c.CANextSerial: _next_serial,
    c.AutopilotSet: autopilot.set_config,
    c.TombstoneReap: _reap,
    c.TokenSet: acl.set_tokens,
    c.TokenDelete: lambda writer, command: acl.delete_tokens(writer, command.accessor_ids),
    c.TokenBootstrap: acl.bootstrap,
    c.PolicySet: lambda writer, command: acl.set_policies(writer, command.policies),
    c.PolicyDelete: lambda writer, command: acl.delete_policies(writer, command.policy_ids),
    c.RoleSet: lambda writer, command: acl.set_roles(writer, command.roles, command.allow_missing_links),
    c.RoleDelete: lambda writer, command: acl.delete_roles(writer, command.role_ids),
    c.BindingRuleSet: lambda writer, command: acl.set_binding_rules(writer, command.rules),
    c.BindingRuleDelete: lambda writer, command: acl.delete_binding_rules(writer, command.rule_ids),
    c.AuthMethodSet: lambda writer, command: acl.set_auth_methods(writer, command.methods),
    c.AuthMethodDelete: lambda writer, command: acl.delete_auth_methods(writer, command.names),
}
