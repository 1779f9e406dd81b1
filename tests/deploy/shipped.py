"""Shipped files with a test's own ports and folders in place of the usual ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tools.agents import ROOT

DEPLOY = ROOT / "deploy"


def adapted(name: str, target: Path, changes: Mapping[str, str]) -> Path:
    """Writes the file `name` of deploy/ to `target`, every key of `changes` replaced; each must be in it."""
    text = (DEPLOY / name).read_text()
    for old, new in changes.items():
        assert old in text, f"deploy/{name} has no {old!r}"
        text = text.replace(old, new)
    target.write_text(text)
    return target
