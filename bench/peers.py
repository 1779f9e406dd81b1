"""The peers measured in the same run: Debian's etcd for the key/value store, bind9 for DNS."""

import contextlib
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tools.agents import free_ports, temporary_folder, wait_until

ZONE = """$TTL 0
@ IN SOA ns hostmaster 1 3600 600 86400 0
@ IN NS ns
ns IN A 127.0.0.1
{records}
"""


class PeerMissing(RuntimeError):
    """The peer's program is not installed."""


def program(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        raise PeerMissing(f"{name} is not installed")
    return path


@contextlib.contextmanager
def background(argv: list[str], log: Path) -> Iterator[None]:
    with open(log, "wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextlib.contextmanager
def etcd() -> Iterator[str]:
    """A single etcd with its default durability; yields its client URL."""
    client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    with temporary_folder("lictor-etcd-") as folder:
        argv = [program("etcd"), "--name=one", f"--data-dir={folder / 'data'}", "--log-level=error"]
        argv += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
        argv += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=one={peer}"]
        with background(argv, folder / "log"):
            wait_until("etcd is healthy", lambda: urllib.request.urlopen(f"{client}/health", timeout=2).status == 200)
            yield client


@contextlib.contextmanager
def bind9(records: str, zone: str = "consul") -> Iterator[int]:
    """bind9 with one static zone of these records; yields its UDP port."""
    (port,) = free_ports(1)
    with temporary_folder("lictor-bind9-") as folder:
        folder.chmod(0o755)
        (folder / "zone").write_text(ZONE.format(records=records))
        (folder / "named.conf").write_text(
            f'options {{ directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};'
            f' recursion no; pid-file "{folder}/pid"; session-keyfile "{folder}/key"; }};'
            f' controls {{ }}; zone "{zone}" {{ type primary; file "{folder}/zone"; }};'
        )
        argv = [program("named"), "-g", "-c", str(folder / "named.conf")]
        with background(argv, folder / "log"):
            wait_until("bind9 runs", lambda: b"running" in (folder / "log").read_bytes())
            yield port
