"""How the daemons of one node talk: servers on loopback, run files to find them, a secret to enter."""

from lictor.rpc.channel import CHANNEL_OPTIONS, DaemonChannel, DaemonNotRunning
from lictor.rpc.secret import SECRET_HEADER, node_secret
from lictor.rpc.server import SERVER_OPTIONS, DaemonServer

__all__ = (
    "CHANNEL_OPTIONS",
    "SECRET_HEADER",
    "SERVER_OPTIONS",
    "DaemonChannel",
    "DaemonNotRunning",
    "DaemonServer",
    "node_secret",
)
