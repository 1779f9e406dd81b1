"""One use of a command: its flags, its arguments, where it prints, the agent it speaks to."""

from __future__ import annotations

import sys
from typing import Any

from lictor.cli.client import ApiError, Client, options

OK = 0
ERROR = 1


class UsageWanted(Exception):
    """The command was used wrongly: the text, mostly a blank line, and the usage are shown. Exit code 1."""

    def __init__(self, text: str, blank: bool = True) -> None:
        super().__init__(text)
        self.gap = "\n\n" if blank else "\n"


class CommandError(Exception):
    """The command failed; the text is shown as it is, the exit code is 1."""


class Call:
    """What a command's `run` gets."""

    def __init__(self, flags: dict[str, Any], arguments: list[str]) -> None:
        self.flags = flags
        self.arguments = arguments
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The agent's HTTP API, with the common flags and the environment applied."""
        if self._client is None:
            try:
                self._client = Client(options(self.flags))
            except ApiError as error:
                raise CommandError(f"Error connecting to Consul agent: {error}") from None
        return self._client

    def close(self) -> None:
        """Close the connection to the agent."""
        if self._client is not None:
            self._client.close()

    def flag(self, name: str, default: Any = "") -> Any:
        """The value of a flag as given, or the default."""
        return self.flags.get(name, default)

    def out(self, text: str) -> None:
        """Print to standard output."""
        sys.stdout.write(text + "\n")

    def error(self, text: str) -> None:
        """Print to standard error."""
        sys.stdout.flush()
        sys.stderr.write(text + "\n")
