"""Clusters of whole agents whose certificates `consul tls` made."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509

from tools.agents import CONSUL, Agent, make_agent, wait_until

VERIFIED = {"verify_incoming": True, "verify_outgoing": True, "verify_server_hostname": True}
FAST = {"performance": {"raft_multiplier": 1}, "disable_update_check": True}


def consul_tls(folder: Path, *arguments: str) -> None:
    """One `consul tls …` in a folder. Errors: subprocess.CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([str(CONSUL), "tls", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


class Certificates:
    """An authority, and the files of the certificates it gave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        consul_tls(folder, "ca", "create")
        self.ca_file = folder / "consul-agent-ca.pem"

    def issue(self, kind: str, datacenter: str = "bj") -> dict[str, str]:
        """Settings for a new certificate of a `server` or a `client`."""
        before = set(self.folder.glob("*.pem"))
        consul_tls(self.folder, "cert", "create", f"-{kind}", f"-dc={datacenter}")
        new = set(self.folder.glob("*.pem")) - before
        (key_file,) = (path for path in new if path.name.endswith("-key.pem"))
        (cert_file,) = new - {key_file}
        return {"cert_file": str(cert_file), "key_file": str(key_file), "ca_file": str(self.ca_file)}


def servers_of(
    folder: Path, settings: Sequence[dict[str, Any]], datacenter: str = "bj", prefix: str = "s"
) -> list[Agent]:
    """Servers that make one cluster, each with its settings; not started."""
    made: list[Agent] = []
    for number, own in enumerate(settings, 1):
        name = f"{prefix}{number}"
        flags = ["-server", f"-bootstrap-expect={len(settings)}", "-retry-interval=1s"]
        flags += [f"-retry-join={agent.lan}" for agent in made]
        made.append(make_agent(folder / name, name, *flags, datacenter=datacenter, config={**FAST, **own}))
    return made


def client_of(folder: Path, name: str, servers: Sequence[Agent], settings: dict[str, Any]) -> Agent:
    """A client agent; not started."""
    joins = [f"-retry-join={agent.lan}" for agent in servers]
    return make_agent(folder / name, name, "-retry-interval=1s", *joins, config={**FAST, **settings})


def change(agent: Agent, **settings: Any) -> None:
    """Other settings for the agent's next start or reload; None takes one away."""
    path = agent.folder / "own.json"
    merged = {**json.loads(path.read_text()), **settings}
    path.write_text(json.dumps({name: value for name, value in merged.items() if value is not None}))


def serial(port: int, client: dict[str, str]) -> int:
    """The serial number of the certificate that a port shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(client["cert_file"], client["key_file"])
    with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as secured:
        shown = secured.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def write_and_read(writer: Agent, reader: Agent, key: str) -> None:
    """What one agent stores another finds."""
    wait_until(f"{writer.name} stores {key}", lambda: writer.put(f"/v1/kv/{key}", b"1") == b"true")
    wait_until(f"{reader.name} finds {key}", lambda: reader.get(f"/v1/kv/{key}"))


def voters(agent: Agent) -> int:
    """How many servers vote, as the agent is told."""
    servers = agent.get("/v1/operator/raft/configuration")["Servers"]
    return sum(server["Voter"] for server in servers)
