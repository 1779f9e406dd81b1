"""Service definitions in files, as `services register` and `services deregister` take them."""

from __future__ import annotations

from typing import Any

from lictor.cli.call import CommandError


def from_files(paths: list[str]) -> list[dict[str, Any]]:
    """The services of configuration files and directories, as the API takes them. Raises CommandError."""
    from lictor.config import definitions, sources
    from lictor.config.errors import ConfigError

    try:
        found, _ = sources.read_paths(paths, "")
        return [definitions.service(values) for source in found for values in sources.parse(source).get("services", ())]
    except ConfigError as error:
        raise CommandError(f"Error: {error}") from None
