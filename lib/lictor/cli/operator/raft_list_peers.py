"""`consul operator raft list-peers`: the servers that take part in consensus."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.table import table

USAGE = """
Usage: consul operator raft list-peers [options]

  Prints the Raft configuration: servers, their addresses, who leads, who
  votes.
"""
FLAG_ERROR = "Failed to parse args: {}"
COMMON = "CS"
OLD_PROTOCOL = "<=1"


def run(call: Call) -> int:
    """Read and print."""
    try:
        servers = call.client.get("/v1/operator/raft/configuration").json()["Servers"]
    except ApiError as error:
        raise CommandError(f"Error getting peers: Failed to retrieve raft configuration: {error}") from None
    rows = [["Node", "ID", "Address", "State", "Voter", "RaftProtocol"]]
    rows += [
        [
            server["Node"],
            server["ID"],
            server["Address"],
            "leader" if server["Leader"] else "follower",
            "true" if server["Voter"] else "false",
            server.get("ProtocolVersion") or OLD_PROTOCOL,
        ]
        for server in servers
    ]
    call.out(table(rows))
    return OK
