"""Patroni elects a PostgreSQL leader through our sessions and locks, and another one when it dies."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.programs import Program, program, python_client
from tests.needs import need
from tools.agents import Agent, free_ports, temporary_folder, wait_until

# PostgreSQL refuses to run as root; this account cannot read root's folders: Debian's Python, a copy of Patroni.
ACCOUNT = "postgres"
PYTHON = "/usr/bin/python3"
SCOPE = "compat-pg"
START_TIMEOUT_S, FAILOVER_TIMEOUT_S = 40, 45

CONFIGURATION = """
scope: {scope}
namespace: /service/
name: {name}
restapi: {{listen: "127.0.0.1:{rest}", connect_address: "127.0.0.1:{rest}"}}
consul: {{host: "{consul}", register_service: true}}
bootstrap:
  dcs: {{ttl: 20, loop_wait: 1, retry_timeout: 3, postgresql: {{use_pg_rewind: false}}}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}, no-sync]
postgresql:
  listen: "127.0.0.1:{port}"
  connect_address: "127.0.0.1:{port}"
  data_dir: {folder}/{name}
  bin_dir: {binaries}
  pgpass: {folder}/{name}.pgpass
  authentication:
    superuser: {{username: postgres, password: for-this-test}}
    replication: {{username: replicator, password: for-this-test}}
  parameters: {{unix_socket_directories: "{folder}", fsync: "off", shared_buffers: 16MB, max_connections: 20}}
  pg_hba: ["local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
"""


class Member:
    """One Patroni with its PostgreSQL."""

    def __init__(self, name: str, folder: Path, agent: Agent) -> None:
        self.name, self.folder = name, folder
        self.patroni: Program | None = None
        self.rest, self.port = free_ports(2)
        binaries = Path(need("pg_controldata")).resolve().parent
        self.file = folder / f"{name}.yml"
        self.file.write_text(
            CONFIGURATION.format(
                scope=SCOPE,
                name=name,
                rest=self.rest,
                port=self.port,
                consul=agent.http,
                folder=folder,
                binaries=binaries,
            )
        )

    def is_(self, role: str) -> bool:
        """Whether Patroni says that it has this role."""
        with contextlib.suppress(urllib.error.HTTPError):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}/{role}", timeout=3) as answer:
                return bool(answer.status == 200)
        return False

    def sql(self, statement: str) -> str:
        argv = [need("psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-Atc", statement, "postgres"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
        if done.returncode:
            raise OSError(done.stderr)
        return done.stdout.strip()

    def die(self) -> None:
        """kill -9 of Patroni and its PostgreSQL."""
        assert self.patroni is not None
        self.patroni.kill()
        self.kill_postgres()

    def kill_postgres(self) -> None:
        """kill -9 of the server that Patroni started, which outlives Patroni otherwise."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((self.folder / self.name / "postmaster.pid").read_text().splitlines()[0])
            os.kill(pid, signal.SIGKILL)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        library = self.folder / "patroni"
        environment = {"PYTHONPATH": str(library), "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        argv = [PYTHON, str(library / "bin" / "patroni"), str(self.file)]
        try:
            with program(
                self.folder / f"{self.name}.log", *argv, environment=environment, user=ACCOUNT
            ) as self.patroni:
                yield
        finally:
            self.kill_postgres()


@pytest.mark.slow
def test_a_leader_is_elected_and_replaced_when_its_session_expires(agent: Agent) -> None:
    try:
        account = pwd.getpwnam(ACCOUNT)
    except KeyError:
        pytest.fail("no account for PostgreSQL (.ci/run says which packages the tests need)")
    with temporary_folder("patroni-") as folder:
        shutil.copytree(python_client("patroni"), folder / "patroni", copy_function=os.link)
        os.chown(folder, account.pw_uid, account.pw_gid)
        first, second = Member("a", folder, agent), Member("b", folder, agent)
        with first.running(), second.running():
            leads = wait_until("one leads", lambda: next((m for m in (first, second) if m.is_("leader")), None), 40)
            if leads is second:
                first, second = second, first
            wait_until("the other follows", lambda: second.is_("replica"), START_TIMEOUT_S)
            (key,) = agent.get(f"/v1/kv/service/{SCOPE}/leader")
            (session,) = agent.get(f"/v1/session/info/{key['Session']}")
            assert (session["TTL"], session["Behavior"]) == ("10.0s", "delete")
            wait_until("Patroni registered both", lambda: len(agent.get(f"/v1/catalog/service/{SCOPE}")) == 2)
            first.sql("CREATE TABLE kept AS SELECT 42 AS answer")
            wait_until("the row is replicated", lambda: second.sql("SELECT answer FROM kept") == "42")

            first.die()
            wait_until("the other leads", lambda: second.is_("leader"), FAILOVER_TIMEOUT_S)
            (taken,) = agent.get(f"/v1/kv/service/{SCOPE}/leader")
            assert taken["Session"] != key["Session"]
            assert agent.get(f"/v1/session/info/{key['Session']}") == []
            second.sql("INSERT INTO kept VALUES (43)")
            assert second.sql("SELECT sum(answer) FROM kept") == "85"
