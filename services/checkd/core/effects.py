"""What the core asks its driver to do: plain data, carried out in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from checkd.core.definitions import CheckDefinition


@dataclass(frozen=True, slots=True)
class RunCheck:
    """Run a check now and hand the result back with the token."""

    check_id: str
    token: int
    definition: CheckDefinition
    output_limit_bytes: int


@dataclass(frozen=True, slots=True)
class CancelCheck:
    """Stop a run or a watch of this check, if there is one; its result is of no use any more."""

    check_id: str


@dataclass(frozen=True, slots=True)
class WatchAlias:
    """Watch the checks of another node for an alias check, until cancelled."""

    check_id: str
    node: str
    service_id: str
    acl_token: str


@dataclass(frozen=True, slots=True)
class SaveDocument:
    """Persist a document; `folder` is services, checks or checks/state under the data directory."""

    folder: str
    key: str
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DropDocument:
    """Remove a persisted document, if it is there."""

    folder: str
    key: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """Write a log line; `level` is a `logging` number."""

    level: int
    logger: str
    message: str
    fields: dict[str, Any]


Effect = RunCheck | CancelCheck | WatchAlias | SaveDocument | DropDocument | LogLine

SERVICES, CHECKS, CHECK_STATES = "services", "checks", "checks/state"
