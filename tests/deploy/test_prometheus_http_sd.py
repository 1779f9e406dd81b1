"""Debian's Prometheus follows the catalog through the shipped http_sd file and evaluates the shipped alerts."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.compat.backends import Backends
from tests.compat.programs import program
from tests.deploy.shipped import DEPLOY, adapted
from tests.needs import need
from tools.agents import Agent, free_ports, wait_until

MANY = 1000
KEPT = 20
FOLLOWS_TIMEOUT_S = 120
OPERATIONS = 64
"""In one transaction."""


def ask(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.loads(answer.read())["data"]


def query(port: int, expression: str) -> list[Any]:
    rows: list[Any] = ask(port, "/api/v1/query?query=" + urllib.parse.quote(expression))["result"]
    return rows


def change(agent: Agent, verb: str, numbers: range, **fields: Any) -> None:
    """Registers or removes many services of the node `fleet`, in few transactions."""
    for first in range(numbers.start, numbers.stop, OPERATIONS):
        some = range(first, min(first + OPERATIONS, numbers.stop))
        services = [{"ID": f"hs{number}", "Service": f"hs{number}", **fields} for number in some]
        operations = [{"Service": {"Verb": verb, "Node": "fleet", "Service": service}} for service in services]
        agent.put("/v1/txn", json.dumps(operations).encode())


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    import subprocess

    script = Path(__file__).with_name("alerts_test.yml")
    adapted_script = tmp_path / "alerts_test.yml"
    adapted_script.write_text(script.read_text().replace("ALERTS", str(DEPLOY / "prometheus" / "alerts.yml")))
    done = subprocess.run(
        [need("promtool"), "test", "rules", str(adapted_script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_and_dashboard_name_series_that_exist(agent: Agent) -> None:
    with urllib.request.urlopen(f"http://{agent.http}/v1/agent/metrics?format=prometheus", timeout=10) as answer:
        there = {re.split(r"[{ ]", line)[0] for line in answer.read().decode().splitlines() if line[:1] != "#"}
    for name in ("prometheus/alerts.yml", "grafana/lictor.json"):
        named = set(re.findall(r"\bconsul_\w+", (DEPLOY / name).read_text()))
        assert len(named) > 5 and named <= there, (name, named - there)


@pytest.mark.slow
def test_a_thousand_services_come_and_go_without_a_list(agent: Agent, backends: Backends, tmp_path: Path) -> None:
    backend = backends.start("fleet")
    (listen,) = free_ports(1)
    adapted("prometheus/alerts.yml", tmp_path / "alerts.yml", {"for: 1m": "for: 1s"})
    file = adapted(
        "prometheus/prometheus-http-sd.yml",
        tmp_path / "prometheus.yml",
        {
            "127.0.0.1:8500": agent.http,
            ":8500": f":{agent.ports['http']}",
            "refresh_interval: 5s": "refresh_interval: 1s",
            "scrape_interval: 15s": "scrape_interval: 10s",
            "evaluation_interval: 15s": "evaluation_interval: 1s",
        },
    )
    node = {"Node": "fleet", "Address": "127.0.0.1"}
    agent.put("/v1/catalog/register", {**node, "Service": {"Service": "hs-quiet", "Port": backend}})
    fields = {"Address": "127.0.0.1", "Port": backend, "Tags": ["metrics"]}
    change(agent, "set", range(KEPT), **fields)

    def found() -> set[str]:
        active = ask(listen, "/api/v1/targets?state=active")["activeTargets"]
        return {row["labels"]["job"] for row in active if row["scrapePool"] == "services"}

    def follows(numbers: range) -> None:
        wanted = {f"hs{number}" for number in numbers}
        wait_until(
            f"the targets are hs{numbers.start} to hs{numbers.stop - 1}", lambda: found() == wanted, FOLLOWS_TIMEOUT_S
        )

    argv = [
        need("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{listen}",
    ]
    with program(tmp_path / "prometheus.log", *argv):
        follows(range(KEPT))
        change(agent, "set", range(KEPT, MANY), **fields)
        follows(range(MANY))
        change(agent, "delete", range(KEPT, MANY))
        follows(range(KEPT))
        wait_until("all were scraped", lambda: query(listen, 'count(backend_up{node="fleet"})')[0]["value"][1] == "20")
        own = 'up{job="lictor",node="n1",datacenter="bj"}'
        wait_until("the server itself is up", lambda: [row["value"][1] for row in query(listen, own)] == ["1"])
        rules = [rule for group in ask(listen, "/api/v1/rules")["groups"] for rule in group["rules"]]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"} and len(rules) > 10
        # Every panel of the dashboard is drawn from series that are there.
        panels = json.loads((DEPLOY / "grafana" / "lictor.json").read_text())["panels"]
        for expression in [target["expr"] for panel in panels for target in panel["targets"]]:
            shown = expression.replace("$datacenter", ".*")
            wait_until(f"{shown} has values", lambda shown=shown: query(listen, shown))  # type: ignore[misc]
        # No alert but the one that a single server deserves.
        assert {row["labels"]["alertname"] for row in ask(listen, "/api/v1/alerts")["alerts"]} <= {"LictorQuorumAtRisk"}
        agent.put("/v1/catalog/register", {**node, "Check": {"Name": "disk", "CheckID": "disk", "Status": "critical"}})

        def fires() -> bool:
            alerts = ask(listen, "/api/v1/alerts")["alerts"]
            return any(
                row["labels"]["alertname"] == "LictorChecksCritical" and row["state"] == "firing" for row in alerts
            )

        wait_until("the alert for critical checks fires", fires)
    agent.put("/v1/catalog/deregister", {"Node": "fleet"})
