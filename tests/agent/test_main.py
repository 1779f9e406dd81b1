"""What keeps an agent from starting is said in one clear line, and nothing is started."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lictor.agent import lock, ports
from lictor.agent.main import main
from lictor.config.errors import ConfigError
from lictor.config.runtime import Ports, RuntimeConfig, run_dir

NODE_ID = "9095c165-7f5f-6892-e9bc-722c3a08ebf0"
OTHER_ID = "7234405d-cde5-e0ef-56b1-55e958de5b6c"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["-data-dir=/tmp/x", "-bind=nonsense"],
            "==> 1 error occurred:\n\t* bind_addr: invalid ip address: nonsense\n",
        ),
        (["-config-file=/nonexistent.json"], "==> config: Open failed on /nonexistent.json."),
        (["-bind=127.0.0.1"], "==> data_dir cannot be empty\n"),
        (["-bogus"], "flag provided but not defined: -bogus\n"),
    ],
)
def test_a_bad_configuration(arguments: list[str], text: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    captured = capfd.readouterr()
    assert captured.err.startswith(text)
    assert captured.out == ""


def test_a_bad_flag_is_told_with_the_flags_there_are(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-server=x"]) == 1
    error = 'invalid boolean value "x" for -server: strconv.ParseBool: parsing "x": invalid syntax'
    lines = capfd.readouterr().err.splitlines()
    assert lines[:3] == [error, "Usage:", "  -advertise value"]
    assert lines[-1] == f"==> error parsing flags: {error}"


def test_an_address_in_use_is_named_with_its_setting(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main([f"-data-dir={tmp_path}", "-bind=127.0.0.1", f"-http-port={port}"]) == 1
    expected = f"==> ports.http: listen tcp 127.0.0.1:{port}: bind: address already in use\n"
    assert capfd.readouterr() == ("", expected)


def test_a_pid_file_that_cannot_be_written_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ports = ["-http-port=-1", "-dns-port=-1", f"-serf-lan-port={free.getsockname()[1]}"]
    assert main([f"-data-dir={tmp_path}", "-bind=127.0.0.1", *ports, "-pid-file=/nonexistent/x"]) == 1
    expected = "==> Could not open pid file: open /nonexistent/x: no such file or directory\n"
    assert capfd.readouterr() == ("", expected)


def test_a_data_dir_in_use_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_dir(str(tmp_path)).mkdir()
    holder = lock.acquire(str(tmp_path))
    assert main([f"-data-dir={tmp_path}", "-bind=127.0.0.1"]) == 1
    assert f"==> data_dir {tmp_path} is in use by a running agent" in capfd.readouterr().err

    os.close(holder)
    os.close(lock.acquire(str(tmp_path)))


def test_a_data_dir_of_another_node_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "node-id").write_text(NODE_ID)
    assert main([f"-data-dir={tmp_path}", "-bind=127.0.0.1", f"-node-id={OTHER_ID}"]) == 1
    assert f"belongs to node ID {NODE_ID}, but node_id is {OTHER_ID}" in capfd.readouterr().err


def test_the_api_port_gives_way_unless_it_was_asked_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        wanted = RuntimeConfig(ports=Ports(api=port))
        assert ports.choose_api_port(wanted).ports.api not in (port, 0)
        explicit = RuntimeConfig(ports=Ports(api=port, api_explicit=True))
        assert ports.choose_api_port(explicit).ports.api == port


def test_a_dead_unix_socket_is_removed_and_a_live_one_or_a_file_refused(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        with pytest.raises(ConfigError, match="address already in use"):
            ports.check_unix("addresses.http", str(path))
    ports.check_unix("addresses.http", str(path))
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(ConfigError, match="is no socket"):
        ports.check_unix("addresses.http", str(path))
    assert path.read_text() == "precious"
