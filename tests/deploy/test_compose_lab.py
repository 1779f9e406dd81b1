"""`make compose-lab` where something is missing says what, and what else there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools.agents import ROOT


def lab(folder: Path, **programs: str) -> tuple[int, str]:
    """Exit code and message with only these programs (shell scripts) in reach."""
    for name, script in programs.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    argv = [sys.executable, str(ROOT / "tools" / "compose_lab.py")]
    done = subprocess.run(argv, capture_output=True, text=True, env={"PATH": str(folder)}, timeout=60, check=False)
    return done.returncode, done.stderr


def test_without_docker(tmp_path: Path) -> None:
    code, text = lab(tmp_path)
    assert code == 2
    assert "`docker` is missing" in text and "make lab" in text


def test_without_compose(tmp_path: Path) -> None:
    code, text = lab(tmp_path, docker="exit 1")
    assert code == 2
    assert "install docker-compose" in text


def test_without_an_engine(tmp_path: Path) -> None:
    docker = 'test "$1" = compose || { echo Cannot connect to the Docker daemon >&2; exit 1; }'
    code, text = lab(tmp_path, docker=docker)
    assert code == 2
    assert "no Docker engine answers (Cannot connect to the Docker daemon)" in text
