"""`make install`, and the shipped units without an init system: what they start is there and runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.shipped import DEPLOY
from tests.needs import need
from tools.agents import ROOT, Agent, make_agent, running

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Installed for this interpreter, below a folder of its own."""
    folder = tmp_path_factory.mktemp("install") / "opt"
    script = str(ROOT / "tools" / "install.py")
    argv = [sys.executable, script, f"--prefix={folder}", f"--interpreter={sys.executable}"]
    subprocess.run(argv, check=True, capture_output=True, timeout=240)
    yield folder


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_what_a_unit_starts_is_installed_and_takes_its_arguments(unit: Path, prefix: Path, tmp_path: Path) -> None:
    installed = (prefix / "lib" / "systemd" / "system" / unit.name).read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", installed, re.MULTILINE)
    argv = shlex.split(command)
    assert argv[0].startswith(f"{prefix}/bin/")
    # A configuration that it refuses: the program was found, imported all that it needs and read the unit's folder.
    (prefix / "etc" / "consul.d" / "wrong.hcl").write_text("ports = 1")
    data_dir = ["-data-dir=" + str(tmp_path) if word.startswith("-data-dir=") else word for word in argv]
    done = subprocess.run(data_dir, capture_output=True, text=True, timeout=60, check=False)
    (prefix / "etc" / "consul.d" / "wrong.hcl").unlink()
    assert done.returncode == 1
    assert "wrong.hcl" in done.stdout + done.stderr


def test_the_installed_agent_runs(prefix: Path, tmp_path: Path) -> None:
    agent: Agent = make_agent(tmp_path / "n1", "n1", "-server", "-bootstrap-expect=1", "-ui")
    agent.argv[0] = str(prefix / "bin" / "consul")
    with running(agent):
        agent.wait_leader()
        agent.put("/v1/kv/installed", b"yes")
        assert agent.get("/v1/kv/installed")[0]["Value"] == "eWVz"
        done = subprocess.run([need("curl"), "-fsS", f"http://{agent.http}/ui/"], capture_output=True, check=False)
        assert b"<html" in done.stdout


def test_units_are_what_systemd_understands(prefix: Path) -> None:
    argv = [
        need("systemd-analyze"),
        "verify",
        *(str(prefix / "lib" / "systemd" / "system" / unit.name) for unit in UNITS),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "lictor" in line or "consul" in line]
    assert (done.returncode, ours) == (0, [])


def test_another_python_than_the_packages_are_for_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "python3"
    other.write_text("#!/bin/sh\necho 2.7\n")
    other.chmod(0o755)
    argv = [sys.executable, str(ROOT / "tools" / "install.py"), f"--prefix={tmp_path}/opt", f"--interpreter={other}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"{other} is Python 2.7" in done.stderr
    assert not (tmp_path / "opt").exists()
