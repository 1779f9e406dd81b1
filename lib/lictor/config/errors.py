"""What configuration can be wrong about."""

from __future__ import annotations


class ConfigError(Exception):
    """The configuration cannot be used; the text is what the user is shown."""


def several(errors: list[str]) -> str:
    """Many errors as one text, in the shape Consul prints them."""
    count = "1 error occurred:" if len(errors) == 1 else f"{len(errors)} errors occurred:"
    return count + "".join(f"\n\t* {error}" for error in errors) + "\n\n"
