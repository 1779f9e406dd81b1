"""Other people's programs ask us: dig, unbound, BIND and HAProxy."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.dnsd.running import RunningState, WriterProcess, configuration, running, writing

DEADLINE_S = 15.0
STEP_S = 0.05


def need(program: str) -> str:
    """The program's path."""
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert path is not None, f"{program} is not installed (.ci/run says which packages the tests need)"
    return path


@pytest.fixture(scope="module")
def writer() -> Iterator[WriterProcess]:
    with writing() as process:
        yield process


@pytest.fixture
def state(tmp_path: Path, writer: WriterProcess) -> Iterator[RunningState]:
    kept = RunningState(tmp_path, writer)
    kept.nodes([("n1", "127.0.0.1", "consul", {"port": 8300})])
    kept.nodes([(f"w{number}", f"10.1.1.{number}", "web", {"port": 8000 + number}) for number in range(12)])
    yield kept
    kept.close()


def free_port() -> int:
    """A port that nobody listens on, for UDP and TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, socket.socket() as stream:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        stream.bind(("127.0.0.1", port))
        return port


async def output(*command: str) -> str:
    """What the command prints."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    return printed.decode()


async def dig(port: int, *question: str) -> str:
    return await output(need("dig"), "@127.0.0.1", "-p", str(port), "+tries=1", "+time=3", "+short", *question)


@asynccontextmanager
async def program(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), DEADLINE_S)


async def dig_until(port: int, wanted: str, *question: str) -> str:
    """Ask until the text is in the answer."""
    deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
    while wanted not in (printed := await dig(port, *question)):
        assert asyncio.get_running_loop().time() < deadline_s, printed
        await asyncio.sleep(STEP_S)
    return printed


async def test_dig_over_udp_and_tcp_with_cookies_and_subnets(state: RunningState) -> None:
    async with running(configuration(state.data_dir)) as driver:
        (port,) = driver.ports
        assert await dig(port, "n1.node.consul") == "127.0.0.1\n"
        assert len((await dig(port, "web.service.consul", "SRV")).splitlines()) == 12
        assert len((await dig(port, "web.service.consul", "+noedns")).splitlines()) == 3
        assert len((await dig(port, "web.service.consul", "SRV", "+tcp")).splitlines()) == 12
        assert await dig(port, "-x", "10.1.1.3") == "w3.node.bj.consul.\n"
        assert "127.0.0.1" in await dig(port, "n1.node.consul", "+subnet=192.0.2.0/24")
        assert "ns.consul. hostmaster.consul." in await dig(port, "consul", "SOA")
        assert "n1.node.bj.consul." in await dig(port, "consul", "NS")


UNBOUND = """
server:
  interface: 127.0.0.1
  port: {port}
  chroot: ""
  directory: "{directory}"
  pidfile: ""
  username: ""
  use-syslog: no
  do-daemonize: no
  do-not-query-localhost: no
  use-caps-for-id: yes
  domain-insecure: "consul"
  module-config: "iterator"
  num-threads: 1
stub-zone:
  name: "consul"
  stub-addr: 127.0.0.1@{upstream}
"""


async def test_unbound_with_random_case_resolves_the_zone(state: RunningState, tmp_path: Path) -> None:
    unbound = need("unbound")
    async with running(configuration(state.data_dir)) as driver:
        port = free_port()
        file = tmp_path / "unbound.conf"
        file.write_text(UNBOUND.format(port=port, directory=tmp_path, upstream=driver.ports[0]))
        async with program(unbound, "-d", "-c", str(file)):
            await dig_until(port, "127.0.0.1", "n1.node.consul")
            assert len((await dig(port, "web.service.consul", "SRV")).splitlines()) == 12
            assert "10.1.1.4" in await dig(port, "w4.node.bj.consul")
            assert await dig(port, "none.service.consul") == ""


BIND = """
options {{
  directory "{directory}";
  pid-file none;
  session-keyfile none;
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  dnssec-validation no;
  recursion yes;
  allow-query {{ any; }};
}};
controls {{ }};
zone "consul" IN {{
  type forward;
  forward only;
  forwarders {{ 127.0.0.1 port {upstream}; }};
}};
"""


async def test_bind_forwards_the_zone(state: RunningState, tmp_path: Path) -> None:
    named = need("named")
    async with running(configuration(state.data_dir)) as driver:
        port = free_port()
        file = tmp_path / "named.conf"
        file.write_text(BIND.format(port=port, directory=tmp_path, upstream=driver.ports[0]))
        async with program(named, "-f", "-c", str(file)):
            await dig_until(port, "127.0.0.1", "n1.node.consul")
            assert len((await dig(port, "web.service.consul", "SRV")).splitlines()) == 12
            assert "10.1.1.4" in await dig(port, "w4.node.bj.consul")


HAPROXY = """
global
  stats socket {directory}/admin.sock mode 600 level admin
defaults
  mode tcp
  timeout connect 1s
  timeout client 1s
  timeout server 1s
resolvers consul
  nameserver agent 127.0.0.1:{upstream}
  accepted_payload_size 8192
  resolve_retries 2
  timeout resolve 200ms
  timeout retry 200ms
  hold valid 200ms
  hold obsolete 300ms
  hold nx 300ms
backend web
  server-template web 20 _web._tcp.service.consul resolvers consul init-addr none
frontend in
  bind 127.0.0.1:{port}
  default_backend web
"""


async def haproxy_servers(directory: Path) -> set[str]:
    """Address and port of every server that HAProxy has filled in from DNS."""
    reader, writer = await asyncio.open_unix_connection(str(directory / "admin.sock"))
    writer.write(b"show servers state web\n")
    await writer.drain()
    printed = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    rows = [line.split() for line in printed.splitlines() if line and not line.startswith(("#", "1 ")) and " " in line]
    return {f"{row[4]}:{row[18]}" for row in rows if len(row) > 18 and row[4] != "-"}


async def haproxy_until(directory: Path, wanted: set[str]) -> None:
    """Wait until these are the servers."""
    deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
    found: set[str] = set()
    while found != wanted:
        assert asyncio.get_running_loop().time() < deadline_s, found
        await asyncio.sleep(STEP_S)
        if (directory / "admin.sock").exists():
            found = await haproxy_servers(directory)


async def test_haproxy_server_templates_follow_scaling(state: RunningState, tmp_path: Path) -> None:
    haproxy = need("haproxy")
    async with running(configuration(state.data_dir)) as driver:
        file = tmp_path / "haproxy.cfg"
        file.write_text(HAPROXY.format(directory=tmp_path, upstream=driver.ports[0], port=free_port()))
        async with program(haproxy, "-db", "-f", str(file)):
            first = {f"10.1.1.{number}:{8000 + number}" for number in range(12)}
            await haproxy_until(tmp_path, first)
            state.nodes(
                [(f"w{number}", f"10.1.1.{number}", "web", {"port": 8000 + number}) for number in range(12, 16)]
            )
            await haproxy_until(tmp_path, {f"10.1.1.{number}:{8000 + number}" for number in range(16)})
            for number in range(2, 16):
                state.forget(f"w{number}")
            await haproxy_until(tmp_path, {"10.1.1.0:8000", "10.1.1.1:8001"})
