"""What a run gives back, and what every runner needs to know."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from checkd.core.definitions import CheckDefinition
from checkd.core.duration import SECOND_NS

DEFAULT_TIMEOUT_NS = 10 * SECOND_NS
SCRIPT_TIMEOUT_NS = 30 * SECOND_NS


class Result(NamedTuple):
    """The status a run found, and its output."""

    status: str
    output: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run: the check's definition and how many bytes of output to keep."""

    definition: CheckDefinition
    output_limit_bytes: int

    def timeout_s(self, default_ns: int = DEFAULT_TIMEOUT_NS) -> float:
        """The run's own limit in seconds."""
        return (self.definition.timeout_ns or default_ns) / SECOND_NS


Runner = Callable[[Run], Awaitable[Result]]
Outgoing = tuple[ssl.SSLContext, str]
"""A client context, and the name that the certificate is to have: "" for the address that is asked."""
Tls = Callable[[bool], Outgoing]
"""Makes (and keeps) them; the argument skips verification."""
