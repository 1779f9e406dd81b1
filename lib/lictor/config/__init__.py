"""Configuration of an agent: flags and files in, one `RuntimeConfig` out."""

from lictor.config.runtime import RuntimeConfig

__all__ = ["RuntimeConfig"]
