"""Configuration of an agent: flags and files in, one `RuntimeConfig` out.

Light to import: the command line uses the flag, HCL and duration parsers alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lictor.config.runtime import RuntimeConfig

__all__ = ["RuntimeConfig"]


def __getattr__(name: str) -> Any:
    if name == "RuntimeConfig":
        from lictor.config.runtime import RuntimeConfig

        return RuntimeConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
