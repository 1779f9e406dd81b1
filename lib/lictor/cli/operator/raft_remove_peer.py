"""`consul operator raft remove-peer`: take a dead server out of the Raft configuration."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul operator raft remove-peer [options]

  Removes a server that is gone for good. For the rare case in which neither
  it leaves by itself nor autopilot removes it.
"""
FLAG_ERROR = "Failed to parse args: {}"
COMMON = "CS"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("address", "string", "Address of the server, ip:port.")
    flags.add("id", "string", "ID of the server.")


def run(call: Call) -> int:
    """Ask for it."""
    address, identity = call.flag("address"), call.flag("id")
    if not address and not identity:
        raise CommandError("Error removing peer: an address or id is required for the peer to remove")
    if address and identity:
        raise CommandError("Error removing peer: cannot give both an address and id")
    try:
        call.client.delete("/v1/operator/raft/peer", {"address": address} if address else {"id": identity})
    except ApiError as error:
        raise CommandError(f"Error removing peer: {error}") from None
    call.out(f'Removed peer with address "{address}"' if address else f'Removed peer with id "{identity}"')
    return OK
