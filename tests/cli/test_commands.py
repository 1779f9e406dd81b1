"""Every command is there, explains itself, and imports nothing heavy."""

import importlib
import subprocess
import sys

import pytest

from lictor.cli.commands import COMMANDS, GROUPS
from lictor.cli.main import find, flag_sets, group_usage, main, usage

HEAVY = ("asyncio", "grpc", "msgspec", "cryptography", "lmdb", "fastapi", "uvloop", "google.protobuf")
LIGHT_COMMANDS = sorted(set(COMMANDS) - {"agent"})


@pytest.mark.parametrize("name", LIGHT_COMMANDS)
def test_it_has_a_usage_text_and_runs(name: str) -> None:
    module = importlib.import_module(COMMANDS[name][0])
    assert callable(module.run)
    text = usage(module)
    assert text.startswith(f"Usage: consul {name}")
    assert ("HTTP API Options" in text) == ("C" in getattr(module, "COMMON", ""))
    flag_sets(module)


@pytest.mark.parametrize("name", LIGHT_COMMANDS)
def test_help_is_no_failure(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("-h", "-help", "--help"):
        assert main([*name.split(), flag]) == 0
        assert capsys.readouterr().out.startswith(f"Usage: consul {name}")


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_a_group_alone_is_a_failure_and_its_help_is_none(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(name.split()) == 1
    assert main([*name.split(), "bogus"]) == 1
    assert group_usage(name) in capsys.readouterr().err
    assert main([*name.split(), "-h"]) == 0


@pytest.mark.parametrize("arguments", [[], ["bogus"], ["help"]])
def test_no_or_an_unknown_command_is_127(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 127
    assert "Available commands are:" in capsys.readouterr().err


def test_words_are_taken_as_far_as_they_are_a_command() -> None:
    assert find(["kv", "get", "kv"]) == ("kv get", ["kv"])
    assert find(["operator", "raft", "list-peers", "-stale"]) == ("operator raft list-peers", ["-stale"])
    assert find(["kv"]) == ("kv", [])


def test_an_unknown_flag_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kv", "get", "-bogus", "x"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["flag provided but not defined: -bogus", "Usage:"]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["version"], ["--version"], ["-v"]):
        assert main(arguments) == 0
        assert capsys.readouterr().out.splitlines()[0] == "Consul v1.7.2"


def test_commands_import_nothing_heavy() -> None:
    modules = [COMMANDS[name][0] for name in LIGHT_COMMANDS]
    script = (
        "import importlib, sys\n"
        "import lictor.cli.main\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
