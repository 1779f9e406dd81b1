"""Autopilot's configuration: one record."""

from __future__ import annotations

from msgspec.structs import replace

from lictor.state import keys, topics
from lictor.state.commands import AutopilotSet, Outcome, Result
from lictor.state.rows import decode_autopilot, encode
from lictor.state.writer import Writer


def set_config(writer: Writer, command: AutopilotSet) -> Result:
    raw = writer.get(keys.AUTOPILOT)
    existing = None if raw is None else decode_autopilot(raw)
    if command.cas_index is not None and (existing is None or existing.modify_index != command.cas_index):
        return Outcome(False)
    config = replace(
        command.config,
        create_index=existing.create_index if existing else writer.index,
        modify_index=writer.index,
    )
    writer.put(keys.AUTOPILOT, encode(config))
    writer.bump("autopilot-config")
    writer.changed(topics.AUTOPILOT)
    return Outcome(True)
