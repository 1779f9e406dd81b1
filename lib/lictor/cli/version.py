"""`consul version`: what this program is."""

from __future__ import annotations

from lictor.cli.call import OK, Call
from lictor.version import CONSUL_VERSION

USAGE = """
Usage: consul version

  Prints the version of this program and the protocol versions it speaks.
"""
PROTOCOL = "Protocol 2 spoken by default, understands 2 to 3"
PROTOCOL_NOTE = "(agent will automatically use protocol >2 when speaking to compatible agents)"


def run(call: Call) -> int:
    """Print it."""
    call.out(f"Consul v{CONSUL_VERSION}")
    call.out(f"{PROTOCOL} {PROTOCOL_NOTE}")
    return OK
