"""The shipped Prometheus configuration finds targets in the catalog and forgets those that left it.

Debian builds Prometheus without Consul discovery, so the file is run by VictoriaMetrics, which reads the same format
with an implementation of its own.
"""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.compat.backends import Backends
from tests.compat.programs import program
from tests.needs import need
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
            services = [row for row in active if row["discoveredLabels"]["job"] == "services"]
            return {(row["labels"]["instance"], row["health"]) for row in services} == wanted

        wait_until(f"the targets are {names}", found, 40)

    argv = [
        need("victoria-metrics"),
        f"-promscrape.config={file}",
        # It has a flag of its own for what the file says with refresh_interval, and refuses the line otherwise.
        "-promscrape.consulSDCheckInterval=1s",
        "-promscrape.config.strictParse=false",
        f"-storageDataPath={tmp_path / 'data'}",
        f"-httpListenAddr=127.0.0.1:{listen}",
        "-search.latencyOffset=1s",
        "-memory.allowedBytes=64MB",
    ]
    with program(tmp_path / "victoria-metrics.log", *argv):
        register("pa", "prom-web", Tags=["metrics"])
        register("pc", "prom-quiet")
        up("pa")
        register("pb", "prom-api", Tags=["metrics", "v2"], Meta={"metrics_path": "/metrics"})
        up("pa", "pb")
        wanted = {("prom-web", "pa", "n1"), ("prom-api", "pb", "n1")}

        def scraped() -> bool:
            rows = ask(listen, "/api/v1/query?query=backend_up")["result"]
            return {(row["metric"]["job"], row["metric"]["backend"], row["metric"]["node"]) for row in rows} == wanted

        wait_until("both were scraped", scraped)
        own = "/api/v1/query?query=up%7Bjob=%22lictor%22%7D"
        wait_until("the server itself is up", lambda: [r["value"][1] for r in ask(listen, own)["result"]] == ["1"])
        agent.put("/v1/agent/service/deregister/pa")
        up("pb")
        agent.put("/v1/agent/service/deregister/pb")
        up()
    agent.put("/v1/agent/service/deregister/pc")
