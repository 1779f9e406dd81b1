"""`consul keygen`: a new gossip key."""

from __future__ import annotations

import base64
import secrets

from lictor.cli.call import OK, Call

USAGE = """
Usage: consul keygen

  Prints a new random key for the encryption of gossip, in base64, as the
  agent's -encrypt takes it.
"""
KEY_BYTES = 32


def run(call: Call) -> int:
    """Print a key."""
    call.out(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode())
    return OK
