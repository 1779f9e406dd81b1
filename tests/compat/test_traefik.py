"""Traefik's two providers: routes come from the catalog's tags, or from keys, and go with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.backends import Backends, ask, askers
from tests.compat.programs import program, python_client
from tools.agents import Agent, free_ports, wait_until


def traefik(listen: int, *flags: str) -> list[str]:
    """The command for one that listens on `listen`."""
    return [
        str(python_client("traefik") / "bin" / "traefik"),
        f"--entrypoints.web.address=127.0.0.1:{listen}",
        "--providers.providersthrottleduration=100ms",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        *flags,
    ]


@pytest.mark.parametrize("watch", ["true", "false"])
def test_services_of_the_catalog_are_routed_while_registered(
    agent: Agent, backends: Backends, tmp_path: Path, watch: str
) -> None:
    (listen,) = free_ports(1)
    prefix = f"tr{watch}"
    argv = traefik(
        listen,
        f"--providers.consulcatalog.endpoint.address={agent.http}",
        f"--providers.consulcatalog.prefix={prefix}",
        f"--providers.consulcatalog.watch={watch}",
        "--providers.consulcatalog.refreshinterval=500ms",
        "--providers.consulcatalog.exposedbydefault=false",
    )
    tags = [f"{prefix}.enable=true", f"{prefix}.http.routers.{prefix}.rule=PathPrefix(`/app`)"]

    def register(identifier: str) -> None:
        port = backends.start(identifier)
        # Watching, Traefik ignores answers equal to the last one: another instance without a check would not be seen.
        check = {"TTL": "60s", "Status": "passing"}
        body = {"ID": identifier, "Name": prefix, "Tags": tags, "Address": "127.0.0.1", "Port": port, "Check": check}
        agent.put("/v1/agent/service/register", body)

    with program(tmp_path / "traefik.log", *argv):
        wait_until("Traefik answers", lambda: ask(listen, "/app")[0] == 404)
        register(f"{prefix}-1")
        wait_until("the service is routed", lambda: askers(listen, {f"{prefix}-1"}, "/app"))
        register(f"{prefix}-2")
        wait_until("both are used", lambda: askers(listen, {f"{prefix}-1", f"{prefix}-2"}, "/app"))
        agent.put(f"/v1/agent/service/deregister/{prefix}-1")
        wait_until("one is left", lambda: askers(listen, {f"{prefix}-2"}, "/app"))
        agent.put(f"/v1/agent/service/deregister/{prefix}-2")
        wait_until("the route is gone", lambda: ask(listen, "/app")[0] == 404)


def test_keys_are_routes(agent: Agent, backends: Backends, tmp_path: Path) -> None:
    (listen,) = free_ports(1)
    root = "trkv"
    keys = {
        "routers/r/rule": "PathPrefix(`/keys`)",
        "routers/r/service": "s",
        "services/s/loadbalancer/servers/0/url": f"http://127.0.0.1:{backends.start('k1')}",
    }
    for key, value in keys.items():
        agent.put(f"/v1/kv/{root}/http/{key}", value.encode())
    argv = traefik(listen, f"--providers.consul.endpoints={agent.http}", f"--providers.consul.rootkey={root}")
    with program(tmp_path / "traefik.log", *argv):
        wait_until("the keys are a route", lambda: askers(listen, {"k1"}, "/keys"))
        second = f"http://127.0.0.1:{backends.start('k2')}"
        agent.put(f"/v1/kv/{root}/http/services/s/loadbalancer/servers/1/url", second.encode())
        wait_until("the new server is used", lambda: askers(listen, {"k1", "k2"}, "/keys"))
        agent.put(f"/v1/kv/{root}/http/routers/r/rule", b"PathPrefix(`/moved`)")
        wait_until("the route moved", lambda: askers(listen, {"k1", "k2"}, "/moved"))
        assert ask(listen, "/keys")[0] == 404
