"""The shipped units on three booted machines: a cluster of two supervised agents and one whose daemons are units."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from campaigns.deploy.debian import install_lictor
from campaigns.deploy.machines import Machine
from tools.agents import wait_until
from tools.testhosts import NamespaceNetwork

DAEMONS = ("dnsd", "checkd", "apid", "raftd", "gossipd")
UNITS = tuple(f"lictor-{name}" for name in DAEMONS)
ADDRESSES = ("10.79.0.1", "10.79.0.2", "10.79.0.3")
REGISTER = "http://127.0.0.1:8500/v1/agent/service/register"
SERVER = """
server = true
bootstrap_expect = 3
datacenter = "bj"
client_addr = "0.0.0.0"
retry_interval = "1s"
retry_join = ["10.79.0.1", "10.79.0.2", "10.79.0.3"]
enable_local_script_checks = true
performance { raft_multiplier = 1 }
"""


def configuration(number: int, more: str = "") -> dict[str, str]:
    return {"server.hcl": f'node_name = "m{number}"\nbind_addr = "{ADDRESSES[number - 1]}"\n{SERVER}{more}'}


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[Machine, Machine, Machine]]:
    network = NamespaceNetwork(ADDRESSES, "units")
    booted: list[Machine] = []
    try:
        first, second, third = network.hosts
        installed = network.folder / "installed"
        install_lictor(installed)
        booted.append(Machine(first, installed, configuration(1, "ports { dns = 53 }\n")))
        booted.append(Machine(second, installed, configuration(2)))
        booted.append(Machine(third, installed, configuration(3, "leave_on_terminate = true\n")))
        yield booted[0], booted[1], booted[2]
    finally:
        for machine in booted:
            machine.close()
        network.destroy()


def members(machine: Machine) -> dict[str, str]:
    """Node → status."""
    lines = machine.check("consul", "members").splitlines()[1:]
    return {fields[0]: fields[2] for fields in map(str.split, lines)}


def voters(machine: Machine) -> int:
    return machine.check("consul", "operator", "raft", "list-peers").count(" true ")


def restarts(machine: Machine, unit: str) -> int:
    return int(machine.property(unit, "NRestarts"))


def test_every_unit_is_valid(machines: tuple[Machine, Machine, Machine]) -> None:
    folder = "/usr/lib/systemd/system"
    names = ("consul.service", "lictor.target", *(f"{unit}.service" for unit in UNITS), "lictor-nginx@web.service")
    done = machines[0].run("systemd-analyze", "verify", *(f"{folder}/{name}" for name in names))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_cluster_of_units_comes_up_in_whatever_order_they_start(machines: tuple[Machine, Machine, Machine]) -> None:
    first, second, third = machines
    for machine in (first, second):
        machine.check("systemctl", "enable", "--now", "--no-block", "consul")
    for unit in UNITS:
        third.check("systemctl", "start", "--no-block", unit)
    third.check("systemctl", "enable", "--now", "--no-block", "lictor.target")
    first.wait_active("consul")
    second.wait_active("consul")
    third.wait_active(*UNITS)
    wait_until("three voters", lambda: voters(first) == 3)
    assert set(members(third).values()) == {"alive"}
    first.check("consul", "kv", "put", "color", "red")
    assert wait_until("m3 reads it", lambda: third.run("consul", "kv", "get", "color").stdout) == "red\n"
    assert first.property("consul", "User") == "lictor"


def test_the_journal_has_the_log(machines: tuple[Machine, Machine, Machine]) -> None:
    first, _, third = machines
    assert "==> Consul agent running!" in first.journal("consul")
    assert "agent: Started HTTP server" in third.journal("lictor-apid")


def test_dns_answers_on_port_53(machines: tuple[Machine, Machine, Machine]) -> None:
    question = bytes.fromhex("000101000001000000000000") + b"\x02m1\x04node\x06consul\x00\x00\x01\x00\x01"
    script = f"""
import socket
peer = socket.socket(type=socket.SOCK_DGRAM)
peer.settimeout(5)
peer.sendto(bytes.fromhex({question.hex()!r}), ("127.0.0.1", 53))
print(peer.recv(512).hex())
"""
    assert "0a4f0001" in machines[0].check("python3", "-c", script)


def test_whatever_is_killed_comes_back(machines: tuple[Machine, Machine, Machine]) -> None:
    first, _, third = machines
    for unit in UNITS:
        before = restarts(third, unit)
        third.check("systemctl", "kill", "--kill-who=main", "-s", "SIGKILL", unit)
        wait_until(f"{unit} was started again", lambda unit=unit, before=before: restarts(third, unit) > before)  # type: ignore[misc]
        third.wait_active(unit)
    before = restarts(first, "consul")
    first.check("systemctl", "kill", "--kill-who=main", "-s", "SIGKILL", "consul")
    wait_until("the agent was started again", lambda: restarts(first, "consul") > before)
    first.wait_active("consul")
    wait_until("all are there", lambda: set(members(third).values()) == {"alive"} and voters(first) == 3)
    assert third.check("consul", "kv", "get", "color") == "red\n"


def test_what_hangs_is_replaced_by_the_watchdog(machines: tuple[Machine, Machine, Machine]) -> None:
    first, _, third = machines
    for machine, unit in ((first, "consul"), (third, "lictor-gossipd")):
        machine.put(f"/etc/systemd/system/{unit}.service.d/watchdog.conf", "[Service]\nWatchdogSec=3s\n")
        machine.check("systemctl", "daemon-reload")
        machine.check("systemctl", "restart", unit)
        machine.wait_active(unit)
        before = restarts(machine, unit)
        machine.check("systemctl", "kill", "--kill-who=main", "-s", "SIGSTOP", unit)
        wait_until(f"{unit} was replaced", lambda m=machine, u=unit, b=before: restarts(m, u) > b)  # type: ignore[misc]
        machine.wait_active(unit)
        assert "Watchdog timeout" in machine.check("journalctl", "--no-pager", "-u", unit)


def test_reload_takes_over_the_configuration_without_a_restart(machines: tuple[Machine, Machine, Machine]) -> None:
    first, _, third = machines
    for machine, unit, name in ((first, "consul", "web"), (third, "lictor-checkd", "api")):
        pid = machine.property(unit, "MainPID")
        script = {"args": ["/bin/sh", "-c", "test -d /etc"], "interval": "1s"}
        machine.put("/etc/consul.d/service.json", json.dumps({"service": {"name": name, "port": 80, "check": script}}))
        machine.check("systemctl", "reload", unit)
        path = f"http://127.0.0.1:8500/v1/health/service/{name}?passing"
        wait_until(f"{name} is healthy", lambda m=machine, p=path: json.loads(m.check("curl", "-s", p)))  # type: ignore[misc]
        assert machine.property(unit, "MainPID") == pid
    for unit in UNITS:
        pid = third.property(unit, "MainPID")
        third.check("systemctl", "reload", unit)
        third.wait_active(unit)
        assert third.property(unit, "MainPID") == pid


def test_nginx_is_kept_up_to_date_by_its_unit(machines: tuple[Machine, Machine, Machine]) -> None:
    first = machines[0]
    shipped = first.check("cat", "/usr/share/doc/lictor/examples/nginx/nginx-upstream.conf")
    first.put("/etc/nginx/nginx.conf", shipped.replace("http://web", "http://site"))
    first.put("/etc/nginx/upstreams/site.conf", "upstream site { server 127.0.0.1:9 down; }\n")
    first.check("systemctl", "restart", "nginx")
    first.check("systemctl", "enable", "--now", "lictor-nginx@site")
    status = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:8080/")
    assert first.run(*status).stdout == "502"
    first.check("systemd-run", "--unit=site", "python3", "-m", "http.server", "8000")
    first.check("curl", "-fsS", "-X", "PUT", "-d", '{"Name": "site", "Port": 8000}', REGISTER)
    wait_until("nginx found it", lambda: first.run(*status).stdout == "200")
    assert "site: 1 servers" in first.journal("lictor-nginx@site")


def test_stopping_follows_consuls_rules(machines: tuple[Machine, Machine, Machine]) -> None:
    first, second, third = machines
    # leave_on_terminate: it goes for good.
    third.check("systemctl", "stop", "lictor.target", *UNITS)
    wait_until("m3 has left", lambda: members(first).get("m3") == "left" and voters(first) == 2)
    # A server without it is only away: a failure to the others.
    second.check("systemctl", "stop", "consul")
    assert second.property("consul", "ActiveState") == "inactive"
    wait_until("m2 is missed", lambda: members(first).get("m2") == "failed")
    second.check("systemctl", "start", "consul")
    wait_until("m2 is back", lambda: members(first).get("m2") == "alive")
    # Who was told to leave stays away.
    second.check("consul", "leave")
    wait_until("m2 has left", lambda: members(first).get("m2") == "left")
    wait_until("its unit has ended", lambda: second.property("consul", "ActiveState") == "inactive")


def test_raftd_has_nothing_to_do_on_a_client_agent(machines: tuple[Machine, Machine, Machine]) -> None:
    third = machines[2]
    client = SERVER.replace("server = true\nbootstrap_expect = 3\n", "").replace("raft_multiplier = 1", "")
    third.put("/etc/consul.d/server.hcl", f'node_name = "m3"\nbind_addr = "{ADDRESSES[2]}"\n{client}')
    third.check("systemctl", "start", "lictor.target")
    third.wait_active(*(unit for unit in UNITS if unit != "lictor-raftd"))
    wait_until("m3 is a client", lambda: members(third).get("m3") == "alive")
    assert third.property("lictor-raftd", "ActiveState") == "inactive"
    assert third.property("lictor-raftd", "Result") == "success"
    # Clients leave when they are stopped.
    third.check("systemctl", "stop", "lictor.target", *UNITS)
    wait_until("m3 has left", lambda: members(machines[0]).get("m3") == "left")
