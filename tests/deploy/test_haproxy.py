"""Debian's HAProxy with the shipped configuration follows a service that scales out and in under load."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.backends import Backends, ask
from tests.compat.programs import program
from tests.deploy.load import Load
from tests.deploy.shipped import adapted
from tests.needs import need
from tools.agents import Agent, free_ports, temporary_folder, wait_until


@pytest.mark.slow
def test_scaling_out_and_in_under_load_loses_no_request(agent: Agent, tmp_path: Path) -> None:
    (listen,) = free_ports(1)
    backends = {f"h{number}": Backends() for number in range(6)}

    def start(*names: str) -> None:
        for name in names:
            body = {"ID": name, "Name": "hap-web", "Address": "127.0.0.1", "Port": backends[name].start(name)}
            agent.put("/v1/agent/service/register", body)

    def end(*names: str) -> None:
        for name in names:
            agent.put(f"/v1/agent/service/deregister/{name}")
            backends[name].close()

    start("h0", "h1", "h2")
    # The folder's path must be short: that of a UNIX socket has at most 107 bytes.
    with temporary_folder("haproxy-") as folder:
        changes = {
            "127.0.0.1:8600": agent.dns,
            "bind :8080": f"bind 127.0.0.1:{listen}",
            "/run/haproxy": str(folder),
            "_web._tcp": "_hap-web._tcp",
        }
        file = adapted("haproxy/haproxy.cfg", folder / "haproxy.cfg", changes)
        with program(tmp_path / "haproxy.log", need("haproxy"), "-db", "-f", str(file)):
            wait_until("it answers", lambda: ask(listen)[0] == 200)
            load = Load(listen)
            try:
                wait_until("three answer", lambda: load.only({"h0", "h1", "h2"}))
                start("h3", "h4", "h5")
                wait_until("six answer", lambda: load.only(set(backends)))
                end("h0", "h1", "h2", "h3", "h4")
                wait_until("one answers", lambda: load.only({"h5"}))
            finally:
                load.stop()
            assert not load.failures
    end("h5")
