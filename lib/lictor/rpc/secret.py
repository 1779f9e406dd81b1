"""The node's secret: whoever can read `<data-dir>/run/secret` may call the node's daemons."""

import os
import secrets
from pathlib import Path

from lictor.rpc.runfile import run_directory

SECRET_HEADER = "x-lictor-secret"
SECRET_BYTES = 32


def node_secret(data_dir: str | Path) -> str:
    """The secret of this node, made at first use (mode 0600); all callers get the same one."""
    path = run_directory(data_dir) / "secret"
    try:
        return path.read_text()
    except FileNotFoundError:
        pass
    temporary = path.with_name(f".secret.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(SECRET_BYTES))
    try:
        # A link fails when another daemon was first, and then its secret is the node's.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)
    return path.read_text()
