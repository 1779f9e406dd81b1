"""What an answer needs from outside: the effects that handlers yield and what they get back.

A handler is a generator: it yields a need, is sent the facts, and returns an `Answer`. A need that cannot be met is
thrown into it as `Unavailable`. Who drives the generator decides where facts come from and whether that takes a wait.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import msgspec

from dnsd.core.answer import Answer
from dnsd.core.names import Name
from dnsd.core.records import Record

Handling = Generator[Any, Any, Answer]
"""Yields a need, is sent its facts."""
RecordsMaking = Generator[Any, Any, list[Record]]
"""The same for a part of an answer."""


class Unavailable(Exception):
    """The facts cannot be had: no leader, no path to the datacenter, no answer in time."""


class Denied(Unavailable):
    """We may not have the facts: whatever was known of them is not to be shown any more."""


class ServiceInstances(msgspec.Struct, frozen=True):
    """Sent: list of Instance, all of them whatever their checks say."""

    service: str
    tag: str
    datacenter: str
    connect: bool = False


class NodeNamed(msgspec.Struct, frozen=True):
    """Sent: NodeFacts of the node of that name or of that unique ID prefix, or None."""

    node: str
    datacenter: str


class QueryExecution(msgspec.Struct, frozen=True):
    """Sent: QueryResult, or None when there is no such query."""

    query: str
    datacenter: str
    source_address: str
    """Whom the answer shall be near to."""


class AddressOwner(msgspec.Struct, frozen=True):
    """Sent: `<node>.node` or `<service>.service` of the first thing at the address in our datacenter, or None."""

    address: str


class OutsideAddresses(msgspec.Struct, frozen=True):
    """Sent: list of Record: what the recursors say of a name that is not ours, asked for A; empty when they fail."""

    name: Name


class Relay(msgspec.Struct, frozen=True):
    """Sent: the packet of the first recursor that answers the question itself, or None when all fail."""
