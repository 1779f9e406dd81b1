"""Debian's Prometheus with the shipped configuration finds targets in the catalog and forgets those that left it."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.compat.backends import Backends
from tests.compat.programs import need, program
from tools.agents import ROOT, Agent, free_ports, wait_until

SHIPPED = ROOT / "deploy" / "prometheus" / "prometheus.yml"


def ask(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return json.loads(answer.read())["data"]


@pytest.mark.slow
def test_targets_follow_the_catalog_and_nothing_is_reconfigured(
    agent: Agent, backends: Backends, tmp_path: Path
) -> None:
    text = SHIPPED.read_text()
    http_port = agent.ports["http"]
    for old, new in (
        ("127.0.0.1:8500", agent.http),
        (":8500", f":{http_port}"),
        ("scrape_interval: 15s", "scrape_interval: 1s"),
    ):
        assert old in text, f"{SHIPPED} has no {old!r}"
        text = text.replace(old, new)
    file = tmp_path / "prometheus.yml"
    file.write_text(text)
    (listen,) = free_ports(1)
    ports = {name: backends.start(name) for name in ("pa", "pb", "pc")}

    def register(name: str, service: str, **fields: Any) -> None:
        body = {"ID": name, "Name": service, "Port": ports[name], "Address": "127.0.0.1", **fields}
        agent.put("/v1/agent/service/register", body)

    def up(*names: str) -> None:
        wanted = {(f"127.0.0.1:{ports[name]}", "up") for name in names}

        def found() -> bool:
            active = ask(listen, "/api/v1/targets?state=active")["activeTargets"]
            services = [row for row in active if row["scrapePool"] == "services"]
            return {(row["labels"]["instance"], row["health"]) for row in services} == wanted

        wait_until(f"the targets are {names}", found, 40)

    argv = [need("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
    with program(tmp_path / "prometheus.log", *argv, f"--web.listen-address=127.0.0.1:{listen}"):
        register("pa", "prom-web", Tags=["metrics"])
        register("pc", "prom-quiet")
        up("pa")
        register("pb", "prom-api", Tags=["metrics", "v2"], Meta={"metrics_path": "/metrics"})
        up("pa", "pb")
        rows = ask(listen, "/api/v1/query?query=backend_up")["result"]
        assert {(row["metric"]["job"], row["metric"]["backend"], row["metric"]["node"]) for row in rows} >= {
            ("prom-web", "pa", "n1"),
            ("prom-api", "pb", "n1"),
        }
        own = ask(listen, "/api/v1/query?query=up{job='lictor'}".replace("'", "%22"))["result"]
        assert [row["value"][1] for row in own] == ["1"], own
        agent.put("/v1/agent/service/deregister/pa")
        up("pb")
        agent.put("/v1/agent/service/deregister/pb")
        up()
    agent.put("/v1/agent/service/deregister/pc")
