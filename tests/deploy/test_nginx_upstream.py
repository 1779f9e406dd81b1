"""The handler that renders nginx's upstreams: alone, and behind `consul watch` with Debian's nginx under load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.compat.backends import Backends, ask
from tests.compat.programs import program
from tests.deploy.load import Load
from tests.deploy.shipped import DEPLOY, adapted
from tests.needs import need
from tools.agents import CONSUL, Agent, free_ports, wait_until

HANDLER = DEPLOY / "nginx" / "nginx_upstream.py"


class Handled:
    """The handler with commands that only take notes."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "web.conf"
        self.notes = folder / "notes"

    def run(self, entries: Any, *options: str, reload: str = "") -> subprocess.CompletedProcess[str]:
        note = f"sh -c 'printf r >> {self.notes}'"
        argv = [sys.executable, str(HANDLER), f"--file={self.file}", "--interval=0", "--test=true"]
        argv += [f"--reload={reload or note}", *options, "web"]
        return subprocess.run(argv, input=json.dumps(entries), capture_output=True, text=True, check=False)

    @property
    def reloads(self) -> int:
        return len(self.notes.read_text()) if self.notes.exists() else 0


def entry(host: str, port: int, weight: int = 1, own_address: str = "") -> dict[str, Any]:
    service = {"ID": f"{host}-{port}", "Address": own_address, "Port": port, "Weights": {"Passing": weight}}
    return {"Node": {"Address": host}, "Service": service, "Checks": []}


@pytest.fixture
def handled(tmp_path: Path) -> Handled:
    return Handled(tmp_path)


def test_servers_have_their_ports_and_weights(handled: Handled) -> None:
    assert handled.run([entry("10.0.0.2", 81, 3), entry("10.0.0.9", 80, own_address="fd00::1")]).returncode == 0
    servers = [line.strip() for line in handled.file.read_text().splitlines() if "server " in line]
    assert servers == ["server 10.0.0.2:81 weight=3;", "server [fd00::1]:80 weight=1;"]
    assert handled.reloads == 1


def test_the_same_servers_in_another_order_reload_nothing(handled: Handled) -> None:
    both = [entry("10.0.0.1", 80), entry("10.0.0.2", 80)]
    handled.run(both)
    handled.run(both[::-1])
    assert handled.reloads == 1


def test_an_empty_list_keeps_the_last_servers_unless_it_is_to_be_believed(handled: Handled) -> None:
    handled.run([entry("10.0.0.1", 80)])
    before = handled.file.read_text()
    handled.run([])
    handled.run(None)
    assert (handled.file.read_text(), handled.reloads) == (before, 1)
    handled.run([], "--empty=down")
    assert ("down;" in handled.file.read_text(), handled.reloads) == (True, 2)


def test_a_file_that_nginx_refuses_is_taken_back_and_tried_again(handled: Handled) -> None:
    handled.run([entry("10.0.0.1", 80)])
    before = handled.file.read_text()
    fresh = [entry("10.0.0.2", 80)]
    assert handled.run(fresh, "--test=false").returncode == 1
    assert handled.run(fresh, reload="false").returncode == 1
    assert handled.file.read_text() == before
    assert handled.run(fresh).returncode == 0
    assert "10.0.0.2" in handled.file.read_text()


def test_hosts_that_would_break_the_file_are_left_out(handled: Handled) -> None:
    handled.run([entry("10.0.0.1;}", 80), entry("10.0.0.2", 0), entry("10.0.0.3", 80)])
    assert handled.file.read_text().count("server ") == 1


def test_wrong_input_changes_nothing(handled: Handled) -> None:
    assert handled.run([{"Node": {}}]).returncode == 2
    assert not handled.file.exists()


@pytest.mark.slow
def test_scaling_out_and_in_under_load_loses_no_request(agent: Agent, tmp_path: Path) -> None:
    (listen,) = free_ports(1)
    backends = {f"b{number}": Backends() for number in range(6)}
    upstreams = tmp_path / "upstreams"
    upstreams.mkdir()
    changes = {
        "/etc/nginx/upstreams": str(upstreams),
        "/var/log/nginx": str(tmp_path),
        "listen 8080": f"listen 127.0.0.1:{listen}",
        "http://web": "http://ups-web",
    }
    conf = adapted("nginx/nginx-upstream.conf", tmp_path / "nginx.conf", changes)
    nginx = f"{need('nginx')} -p {tmp_path} -e stderr -c {conf} -g 'pid {tmp_path}/nginx.pid;'"

    def start(*names: str) -> None:
        for name in names:
            port = backends[name].start(name)
            body = {"ID": name, "Name": "ups-web", "Address": "127.0.0.1", "Port": port}
            agent.put("/v1/agent/service/register", body)

    def end(*names: str) -> None:
        """Without a moment between leaving the catalog and being gone."""
        for name in names:
            agent.put(f"/v1/agent/service/deregister/{name}")
            backends[name].close()

    watch = [str(CONSUL), "watch", f"-http-addr={agent.http}", "-type=service", "-service=ups-web"]
    watch += ["-passingonly=true", "-shell=false", sys.executable, str(HANDLER), f"--file={upstreams}/web.conf"]
    watch += [f"--test={nginx} -t -q", f"--reload={nginx} -s reload", "--interval=0.5", "ups-web"]

    def workers() -> list[str]:
        master = (tmp_path / "nginx.pid").read_text().strip()
        return Path(f"/proc/{master}/task/{master}/children").read_text().split()

    def followed(count: int) -> None:
        wait_until("nginx was told", lambda: (upstreams / "web.conf").read_text().count("server ") == count)
        wait_until("workers of the configuration before have ended", lambda: len(workers()) == 1)

    start("b0", "b1", "b2")
    # The first file is there before nginx is, as a boot has it: its reload fails until then and is tried again.
    (upstreams / "web.conf").write_text("upstream ups-web { server 127.0.0.1:9 down; }\n")
    argv = [need("nginx"), "-p", str(tmp_path), "-e", "stderr", "-c", str(conf)]
    with program(tmp_path / "nginx.log", *argv, "-g", f"daemon off; pid {tmp_path}/nginx.pid;"):
        wait_until("nginx listens", lambda: ask(listen)[0])
        with program(tmp_path / "watch.log", *watch) as watching:
            followed(3)
            wait_until("three answer", lambda: ask(listen)[0] == 200)
            load = Load(listen)
            try:
                wait_until("just three answer", lambda: load.only({"b0", "b1", "b2"}))
                start("b3", "b4", "b5")
                followed(6)
                wait_until("six answer", lambda: load.only(set(backends)))
                end("b0", "b1", "b2", "b3", "b4")
                followed(1)
                wait_until("one answers", lambda: load.only({"b5"}))
                agent.put("/v1/agent/service/deregister/b5")
                wait_until("b5 is gone", lambda: not agent.get("/v1/health/service/ups-web"))
                assert load.only({"b5"}), "an empty list keeps the last servers"
            finally:
                load.stop()
            assert not load.failures
            reloads = watching.log.read_text().count("servers\n")
            # The first, two bursts of changes, each at once and once more at the end of the interval.
            assert reloads <= 7
            assert watching.process.poll() is None
    for each in backends.values():
        each.close()
