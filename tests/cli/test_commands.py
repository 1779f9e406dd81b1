"""Every command is there, explains itself, and imports nothing heavy."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from lictor.cli import usage
from lictor.cli.commands import COMMANDS, GROUPS
from lictor.cli.completion import proposals
from lictor.cli.main import main
from lictor.cli.words import find

HEAVY = ("asyncio", "grpc", "msgspec", "cryptography", "lmdb", "fastapi", "uvloop", "google.protobuf")
LIGHT_COMMANDS = sorted(set(COMMANDS) - {"agent"})


@pytest.mark.parametrize("name", LIGHT_COMMANDS)
def test_it_has_a_usage_text_and_runs(name: str) -> None:
    module = importlib.import_module(COMMANDS[name][0])
    assert callable(module.run)
    text = usage.command(module)
    assert text.startswith(f"Usage: consul {name}")
    assert ("HTTP API Options" in text) == ("C" in getattr(module, "COMMON", ""))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_is_no_failure_and_goes_to_standard_error(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for flags in (["-h"], ["-help"], ["--help"], ["x", "y", "-h"] if name not in ("lock", "exec", "watch") else ["-h"]):
        assert main([*name.split(), *flags]) == 0
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"Usage: consul {name}")


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_a_group_alone_is_a_failure_and_its_help_is_none(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(name.split()) == 1
    assert main([*name.split(), "bogus"]) == 1
    assert capsys.readouterr() == ("", f"{usage.group(name)}\n" * 2)
    assert main([*name.split(), "-h"]) == 0


def test_the_flags_of_a_program_to_run_are_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lock", "-http-addr=127.0.0.1:1", "prefix", "grep", "-h", "-v"]) == 1
    assert "Usage" not in capsys.readouterr().err


def test_flags_before_the_command_are_refused_with_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-foo", "kv", "get"]) == 1
    assert capsys.readouterr().err.startswith("Invalid flags before the subcommand.")


@pytest.mark.parametrize("arguments", [[], ["bogus"], ["help"]])
def test_no_or_an_unknown_command_is_127(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 127
    assert "Available commands are:" in capsys.readouterr().err


def test_words_are_taken_as_far_as_they_are_a_command() -> None:
    assert find(["kv", "get", "kv"]) == ("kv get", ["kv"])
    assert find(["operator", "raft", "list-peers", "-stale"]) == ("operator raft list-peers", ["-stale"])
    assert find(["kv"]) == ("kv", [])
    assert find(["kv", "put", "", "x"]) == ("kv put", ["", "x"])


def test_an_unknown_flag_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kv", "get", "-bogus", "x"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == ["flag provided but not defined: -bogus", "Usage:", "  -base64"]
    at = lines.index("  -separator string")
    assert lines[at + 1].startswith("    \t")
    assert lines[at + 1].endswith(' (default "/")')


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["kv", "get", "-stale=x"],
            'invalid boolean value "x" for -stale: strconv.ParseBool: parsing "x": invalid syntax',
        ),
        (["kv", "get", "-keys=x"], 'invalid boolean value "x" for -keys: parse error'),
        (["kv", "put", "-flags=-1"], 'invalid value "-1" for flag -flags: parse error'),
        (["lock", "-timeout=5"], 'invalid value "5" for flag -timeout: parse error'),
        (
            ["catalog", "nodes", "-node-meta=x"],
            'invalid value "x" for flag -node-meta: Missing "=" value in argument: x',
        ),
        (
            ["operator", "autopilot", "set-config", "-last-contact-threshold=5"],
            'invalid value "5" for flag -last-contact-threshold: time: missing unit in duration "5"',
        ),
        (
            ["operator", "autopilot", "set-config", "-min-quorum=99999999999999999999"],
            'invalid value "99999999999999999999" for flag -min-quorum:'
            ' strconv.ParseUint: parsing "99999999999999999999": value out of range',
        ),
        (["agent", "-dns-port=x"], 'invalid value "x" for flag -dns-port: strconv.Atoi: parsing "x": invalid syntax'),
    ],
)
def test_a_bad_value_is_told_in_the_words_of_its_kind(
    arguments: list[str], text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert capfd.readouterr().err.splitlines()[0] == text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("consul kv ", ["delete", "export", "get", "import", "put"]),
        ("consul operator raft l", ["list-peers"]),
        ("consul kv put -fl", ["-flags"]),
        ("consul -au", ["-autocomplete-install", "-autocomplete-uninstall"]),
        ("consul kv get ", []),
    ],
)
def test_shells_are_told_what_a_word_may_become(line: str, expected: list[str]) -> None:
    assert proposals(line) == expected


def test_completion_is_installed_once_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(sys, "argv", ["/usr/bin/consul"])
    assert main(["-autocomplete-install"]) == 1
    assert capsys.readouterr().err == "Error executing CLI: Did not find any shells to install\n"
    (tmp_path / ".bashrc").write_text("alias x=y\n")
    (tmp_path / "config" / "fish").mkdir(parents=True)
    assert main(["-autocomplete-install"]) == 0
    assert (tmp_path / ".bashrc").read_text() == "alias x=y\n\ncomplete -C /usr/bin/consul consul\n"
    assert main(["-autocomplete-install"]) == 1
    assert "already installed" in capsys.readouterr().err
    assert main(["-autocomplete-uninstall"]) == 0
    assert (tmp_path / ".bashrc").read_text() == "alias x=y\n\n"
    assert list((tmp_path / "config" / "fish" / "completions").iterdir()) == []


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
