"""Other people's programs ask us: dig, unbound, BIND and HAProxy."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.dnsd.running import RunningState, WriterProcess, configuration, running, writing
from tests.needs import need
from tools.agents import free_ports, temporary_folder

DEADLINE_S = 60.0
"""Far more than any of this takes, so that a busy machine only makes it slow."""
STEP_S = 0.05


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


class Program:
    """Somebody else's program while it runs; what it says is shown when a test fails."""

    def __init__(self, process: asyncio.subprocess.Process, said: Path) -> None:
        self.process = process
        self._said = said

    @property
    def has_ended(self) -> bool:
        return self.process.returncode is not None

    def __str__(self) -> str:
        said = self._said.read_text(errors="replace")[-4000:]
        return f"exit code {self.process.returncode}, said: {said}"

    async def stop(self) -> None:
        """Ask it to end, and insist after a while."""
        if not self.has_ended:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), DEADLINE_S)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def program(said: Path, *command: str) -> AsyncIterator[Program]:
    """Runs until the end of the block."""
    with said.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=asyncio.subprocess.STDOUT
        )
    started = Program(process, said)
    try:
        yield started
    finally:
        await started.stop()


@dataclass(frozen=True)
class Answer:
    """What dig got: the status (empty when nobody answered) and the records' data."""

    status: str
    data: tuple[str, ...]
    printed: str


async def dig(port: int, *question: str) -> Answer:
    """One question to 127.0.0.1, asked once."""
    command = (need("dig"), "@127.0.0.1", "-p", str(port), "+tries=1", "+time=5", *question)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    printed = (await asyncio.wait_for(process.communicate(), DEADLINE_S))[0].decode()
    status = re.search(r"status: (\w+)", printed)
    section = printed.partition(";; ANSWER SECTION:\n")[2].partition("\n\n")[0]
    data = tuple([line.split(maxsplit=4)[4] for line in section.splitlines()])
    return Answer(status[1] if status else "", data, printed)


async def resolved(port: int, resolver: Program, *question: str) -> Answer:
    """The resolver's first answer that is one: on a busy machine it may give up on us, or not listen yet."""
    deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
    while (answer := await dig(port, *question)).status in ("", "SERVFAIL"):
        assert not resolver.has_ended, resolver
        assert asyncio.get_running_loop().time() < deadline_s, f"{answer.printed}\n{resolver}"
        await asyncio.sleep(STEP_S)
    return answer


async def test_dig_over_udp_and_tcp_with_cookies_and_subnets(state: RunningState) -> None:
    async with running(configuration(state.data_dir)) as driver:
        (port,) = driver.ports
        assert (await dig(port, "n1.node.consul")).data == ("127.0.0.1",)
        assert len((await dig(port, "web.service.consul", "SRV")).data) == 12
        assert len((await dig(port, "web.service.consul", "+noedns")).data) == 3
        assert len((await dig(port, "web.service.consul", "SRV", "+tcp")).data) == 12
        assert (await dig(port, "-x", "10.1.1.3")).data == ("w3.node.bj.consul.",)
        assert (await dig(port, "n1.node.consul", "+subnet=192.0.2.0/24")).data == ("127.0.0.1",)
        assert (await dig(port, "consul", "SOA")).data[0].startswith("ns.consul. hostmaster.consul.")
        assert (await dig(port, "consul", "NS")).data == ("n1.node.bj.consul.",)


async def check_zone(port: int, resolver: Program) -> None:
    """What every resolver in front of us has to find."""
    assert (await resolved(port, resolver, "n1.node.consul")).data == ("127.0.0.1",)
    assert len((await resolved(port, resolver, "web.service.consul", "SRV")).data) == 12
    assert (await resolved(port, resolver, "w4.node.bj.consul")).data == ("10.1.1.4",)
    missing = await resolved(port, resolver, "none.service.consul")
    assert (missing.status, missing.data) == ("NXDOMAIN", ())
    no_address = await resolved(port, resolver, "web.service.consul", "AAAA")
    assert (no_address.status, no_address.data) == ("NOERROR", ())


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
        (port,) = free_ports(1)
        file = tmp_path / "unbound.conf"
        file.write_text(UNBOUND.format(port=port, directory=tmp_path, upstream=driver.ports[0]))
        async with program(tmp_path / "unbound.log", unbound, "-d", "-c", str(file)) as resolver:
            await check_zone(port, resolver)


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
        (port,) = free_ports(1)
        file = tmp_path / "named.conf"
        file.write_text(BIND.format(port=port, directory=tmp_path, upstream=driver.ports[0]))
        async with program(tmp_path / "named.log", named, "-g", "-c", str(file)) as resolver:
            await check_zone(port, resolver)


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


async def haproxy_servers(folder: Path) -> set[str]:
    """Address and port of every server that HAProxy has filled in from DNS; none while it does not listen."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(folder / "admin.sock"))
    except OSError:
        return set()
    writer.write(b"show servers state web\n")
    await writer.drain()
    printed = (await asyncio.wait_for(reader.read(), DEADLINE_S)).decode()
    writer.close()
    await writer.wait_closed()
    rows = [line.split() for line in printed.splitlines() if line and not line.startswith(("#", "1 ")) and " " in line]
    return {f"{row[4]}:{row[18]}" for row in rows if len(row) > 18 and row[4] != "-"}


async def haproxy_until(folder: Path, haproxy: Program, wanted: set[str]) -> None:
    """Wait until these are the servers."""
    deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
    while (found := await haproxy_servers(folder)) != wanted:
        assert not haproxy.has_ended, haproxy
        assert asyncio.get_running_loop().time() < deadline_s, f"{sorted(found)}\n{haproxy}"
        await asyncio.sleep(STEP_S)


async def test_haproxy_server_templates_follow_scaling(state: RunningState) -> None:
    # The folder's path must be short: that of a UNIX socket has at most 107 bytes.
    with temporary_folder("haproxy-") as folder:
        async with running(configuration(state.data_dir)) as driver:
            file = folder / "haproxy.cfg"
            file.write_text(HAPROXY.format(directory=folder, upstream=driver.ports[0], port=free_ports(1)[0]))
            async with program(folder / "haproxy.log", need("haproxy"), "-db", "-f", str(file)) as haproxy:
                await haproxy_until(folder, haproxy, {f"10.1.1.{number}:{8000 + number}" for number in range(12)})
                state.nodes(
                    [(f"w{number}", f"10.1.1.{number}", "web", {"port": 8000 + number}) for number in range(12, 16)]
                )
                await haproxy_until(folder, haproxy, {f"10.1.1.{number}:{8000 + number}" for number in range(16)})
                for number in range(2, 16):
                    state.forget(f"w{number}")
                await haproxy_until(folder, haproxy, {"10.1.1.0:8000", "10.1.1.1:8001"})
