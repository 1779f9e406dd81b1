"""The data directory and the node ID that lives in it."""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from pathlib import Path

import msgspec

from lictor.config.errors import ConfigError
from lictor.config.runtime import RuntimeConfig, run_dir

NODE_ID_FILE = "node-id"
DATA_DIR_MODE = 0o755
RUN_DIR_MODE = 0o700
_HOST_ID_FILES = ("/sys/class/dmi/id/product_uuid", "/etc/machine-id")


def settle(config: RuntimeConfig) -> RuntimeConfig:
    """Make the data directory (a temporary one under -dev) and its run directory, and fix the node ID.

    Raises ConfigError when the directory cannot be used or belongs to a node of another ID.
    """
    data_dir = config.data_dir or tempfile.mkdtemp(prefix="consul-dev-")
    try:
        os.makedirs(data_dir, mode=DATA_DIR_MODE, exist_ok=True)
        run_dir(data_dir).mkdir(mode=RUN_DIR_MODE, exist_ok=True)
        node_id = _node_id(Path(data_dir), config)
    except OSError as error:
        raise ConfigError(f"Failed to set up data_dir {data_dir}: {error.strerror}: {error.filename}") from None
    return msgspec.structs.replace(config, data_dir=data_dir, node_id=node_id)


def _node_id(data_dir: Path, config: RuntimeConfig) -> str:
    path = data_dir / NODE_ID_FILE
    wanted = canonical(config.node_id, "node_id") if config.node_id else ""
    kept = path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""
    if kept:
        kept = canonical(kept, str(path))
        if wanted and wanted != kept:
            raise ConfigError(
                f"data_dir {data_dir} belongs to node ID {kept}, but node_id is {wanted}: use another data_dir"
                " or leave node_id out"
            )
        return kept
    node_id = wanted or (str(uuid.uuid4()) if config.disable_host_node_id else host_node_id())
    return keep(path, node_id)


def keep(path: Path, node_id: str) -> str:
    """Write the ID for later starts; when another process was faster, its ID is returned."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(node_id)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    finally:
        temporary.unlink()
    return node_id


def host_node_id() -> str:
    """An ID made of the machine's own, the same at every start; random when the machine has none."""
    for path in _HOST_ID_FILES:
        try:
            host = Path(path).read_text(encoding="ascii").strip().lower()
        except OSError:
            continue
        if host:
            return str(uuid.UUID(bytes=hashlib.sha512(host.encode()).digest()[:16]))
    return str(uuid.uuid4())


def canonical(text: str, name: str) -> str:
    """The UUID in lower case with dashes. Raises ConfigError when it is none."""
    try:
        found = uuid.UUID(text)
    except ValueError:
        raise ConfigError(f'specified {name} is invalid: uuid string is wrong: "{text}"') from None
    if str(found) != text.lower():
        raise ConfigError(f'specified {name} is invalid: uuid string is wrong: "{text}"')
    return str(found)
