"""Typed access to the merged values of all sources, with every complaint gathered."""

from __future__ import annotations

import ipaddress
from typing import Any

from lictor.config import duration, sockaddr
from lictor.config.decode import Values
from lictor.config.errors import ConfigError
from lictor.config.runtime import DISABLED_PORT

UNIX_PREFIX = "unix://"
MAX_PORT = 65535


class Settings:
    """The merged values; what is wrong with them collects in `errors`."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def get(self, path: str, default: Any) -> Any:
        """The value at a dotted path, or the default."""
        found: Any = self._values
        for name in path.split("."):
            if not isinstance(found, dict) or name not in found:
                return default
            found = found[name]
        return found

    def has(self, path: str) -> bool:
        """Whether anything was set there."""
        return self.get(path, None) is not None

    def text(self, path: str, default: str = "") -> str:
        """A string."""
        return str(self.get(path, default))

    def integer(self, path: str, default: int) -> int:
        """An integer."""
        return int(self.get(path, default))

    def boolean(self, path: str, default: bool = False) -> bool:
        """A boolean."""
        return bool(self.get(path, default))

    def texts(self, path: str) -> tuple[str, ...]:
        """A list of strings."""
        return tuple(self.get(path, ()))

    def span(self, path: str, default_ns: int) -> int:
        """A duration in nanoseconds."""
        return self.span_of(path, self.get(path, None), default_ns)

    def span_of(self, name: str, value: str | None, default_ns: int) -> int:
        """A duration in nanoseconds, called `name` in a complaint."""
        if value is None:
            return default_ns
        try:
            return duration.parse(value)
        except duration.DurationError as error:
            self.errors.append(f'{name}: invalid duration: "{value}": {error}')
            return default_ns

    def port(self, name: str, default: int) -> int:
        """The port `ports.<name>`; zero and negative numbers are -1, which turns it off."""
        value = self.integer(f"ports.{name}", default)
        if value > MAX_PORT:
            self.errors.append(f"ports.{name}: invalid port: {value}")
        return value if value > 0 else DISABLED_PORT

    def addresses(
        self, name: str, default: tuple[str, ...], key: str | None = None, unix: bool = False
    ) -> tuple[str, ...]:
        """A list of IP addresses (or Unix sockets), templates expanded; blanks separate them.

        `name` is what a complaint says, `key` the path when it differs.
        """
        raw = self.get(key or name, None)
        if not raw:
            return default
        try:
            parts = sockaddr.expand(raw).split()
        except ConfigError as error:
            self.errors.append(f"{name}: error parsing {raw!r}: {error}")
            return default
        found: list[str] = []
        for part in parts:
            if part.startswith(UNIX_PREFIX):
                if unix:
                    found.append(part)
                else:
                    self.errors.append(f"{name} cannot be a unix socket")
            elif (address := parse_ip(part)) is not None:
                found.append(address)
            else:
                self.errors.append(f"{name}: invalid ip address: {part}")
        return tuple(found)

    def address(self, name: str, default: str) -> str:
        """One IP address, templates expanded; the default when there is none."""
        found = self.addresses(name, ())
        if len(found) > 1:
            self.errors.append(f"{name}: multiple addresses found: {' '.join(found)}")
            return default
        return found[0] if found else default

    def names(self, path: str) -> tuple[str, ...]:
        """A list of host names or addresses; templates are expanded and may give several."""
        found: list[str] = []
        for text in self.texts(path):
            if "{{" not in text:
                found.append(text)
                continue
            try:
                found.extend(sockaddr.expand(text).split())
            except ConfigError as error:
                self.errors.append(f"{path}: error parsing {text!r}: {error}")
        return tuple(found)


def parse_ip(text: str) -> str | None:
    """The canonical text of an IP address, brackets allowed; None when it is none."""
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        return None


def is_any(address: str) -> bool:
    """Whether this is 0.0.0.0 or ::."""
    return address in ("0.0.0.0", "::")


def joined(address: str, port: int) -> str:
    """`host:port`, IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
