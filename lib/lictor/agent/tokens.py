"""The agent's own tokens: those of the configuration, and over them those that were set while it ran.

With `acl.enable_token_persistence` what was set is kept in `<data_dir>/acl-tokens.json` and wins over the
configuration at every start and reload; without, the configuration wins again at the next reload.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from lictor.config.runtime import RuntimeConfig, with_tokens

FILE_NAME = "acl-tokens.json"
KINDS = ("default", "agent", "agent_master", "replication")

log = logging.getLogger("agent")


class TokenError(Exception):
    """What was set is in force, but could not be kept."""


class TokenStore:
    """Belongs to the supervisor, which hands what is in force to every daemon."""

    def __init__(self, data_dir: str, persistent: bool) -> None:
        self._path = Path(data_dir) / FILE_NAME
        self._persistent = persistent
        self._set: dict[str, str] = {}

    def applied(self, config: RuntimeConfig) -> RuntimeConfig:
        """A configuration, just read, with the tokens that are kept."""
        self._set = self._load() if self._persistent else {}
        for kind in self._set:
            if getattr(config.acl.tokens, kind):
                log.warning(
                    '"%s" token present in both the configuration and persisted token store, using the persisted token',
                    kind,
                )
        return with_tokens(config, msgspec.structs.replace(config.acl.tokens, **self._set))

    def set(self, config: RuntimeConfig, kind: str, token: str) -> RuntimeConfig:
        """The running configuration with one more token."""
        assert kind in KINDS, "no token of an agent"
        self._set[kind] = token
        return with_tokens(config, msgspec.structs.replace(config.acl.tokens, **{kind: token}))

    def keep(self) -> None:
        """Write what was set, if that is asked for. Raises TokenError."""
        if not self._persistent:
            return
        kept = {kind: token for kind, token in self._set.items() if token}
        temporary = self._path.with_name(f"{FILE_NAME}.tmp")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(kept))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            log.warning("failed to persist tokens: error=%s", error)
            raise TokenError(f"Failed to persist tokens - {error}") from None

    def _load(self) -> dict[str, str]:
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            log.warning('unable to load persisted tokens: error="%s: %s"', self._path, error)
            return {}
        return {kind: found[kind] for kind in KINDS if found.get(kind)}
