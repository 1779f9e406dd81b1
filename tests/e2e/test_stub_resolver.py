"""Programs that ask glibc for names: the agent on port 53 is the only server in /etc/resolv.conf."""

import json
from dataclasses import dataclass

import pytest

from tools.agents import wait_until
from tools.testhosts import Host, NamespaceNetwork

AGENT = (
    "consul agent -server -bootstrap-expect=1 -data-dir=/tmp/consul -node=n1 -bind={address} -client=127.0.0.1 "
    "-datacenter=bj -dns-port=53"
)
SETTINGS = "dns_config { enable_truncate = true }"
"""So that the resolver is told to ask again over TCP."""
INSTANCES = 40
NSSWITCH = "hosts: dns\n"
BEHIND_BINDS = 'mount --bind "$1" /etc/resolv.conf && mount --bind "$2" /etc/nsswitch.conf && shift 2 && exec "$@"'
RESOLV_CONFS = {
    "plain": "",
    "edns0": "options edns0\n",
    "use-vc": "options use-vc\n",
    "single-request": "options single-request-reopen\n",
}

pytestmark = pytest.mark.netns


@dataclass
class Stub:
    """A host whose programs resolve names through its agent."""

    host: Host

    def lookup(self, options: str, *getent: str) -> tuple[int, list[str]]:
        """Exit code and sorted lines of `getent` with those lines in resolv.conf."""
        resolv, nsswitch = self.host.folder / "resolv.conf", self.host.folder / "nsswitch.conf"
        resolv.write_text(f"nameserver 127.0.0.1\n{options}")
        nsswitch.write_text(NSSWITCH)
        done = self.host.run("sh", "-c", BEHIND_BINDS, "sh", str(resolv), str(nsswitch), "getent", *getent)
        assert not done.stderr, done.stderr
        return done.returncode, sorted(" ".join(line.split()) for line in done.stdout.splitlines())

    def addresses(self, options: str, *getent: str) -> set[str]:
        """What a `getent` that has to find something finds."""
        code, lines = self.lookup(options, *getent)
        assert code == 0, getent
        return {line.split()[0] for line in lines}

    def register(self, *entries: dict[str, object]) -> None:
        """Catalog registrations."""
        for entry in entries:
            url = "http://127.0.0.1:8500/v1/catalog/register"
            done = self.host.run("curl", "-sf", "-X", "PUT", "-d", json.dumps(entry), url)
            assert done.returncode == 0, done.stderr


def instance(node: str, address: str, service: str, own_address: str = "") -> dict[str, object]:
    return {"Node": node, "Address": address, "Service": {"Service": service, "Port": 80, "Address": own_address}}


@pytest.fixture(scope="module")
def stub(network: NamespaceNetwork) -> Stub:
    host = network.hosts[0]
    host.start(*AGENT.format(address=host.address).split(), "-hcl", SETTINGS)
    made = Stub(host)
    wait_until("the agent resolves its own name", lambda: made.lookup("", "ahostsv4", "n1.node.consul")[0] == 0, 60)
    made.register(
        *(instance(f"w{number}", f"10.1.1.{number}", "web") for number in range(INSTANCES)),
        instance("six", "2001:db8::6", "six"),
        instance("dual", "10.1.2.1", "dual"),
        instance("dual6", "2001:db8::7", "dual"),
        instance("alias", "10.1.2.2", "alias", "w7.node.consul"),
    )
    return made


@pytest.mark.parametrize("options", RESOLV_CONFS)
def test_names_of_every_kind_are_found(stub: Stub, options: str) -> None:
    conf = RESOLV_CONFS[options]
    assert stub.addresses(conf, "ahostsv4", "w3.node.consul") == {"10.1.1.3"}
    assert stub.lookup(conf, "hosts", "six.service.consul") == (0, ["2001:db8::6 six.service.consul"])
    assert stub.lookup(conf, "hosts", "10.1.1.9") == (0, ["10.1.1.9 w9.node.bj.consul"])
    assert stub.lookup(conf, "hosts", "2001:db8::6") == (0, ["2001:db8::6 six.node.bj.consul"])
    assert stub.lookup(conf, "hosts", "alias.service.consul") == (0, ["10.1.1.7 w7.node.consul alias.service.consul"])
    # Both families are asked for at the same time, from one socket.
    assert stub.addresses(conf, "ahosts", "dual.service.consul") == {"10.1.2.1", "2001:db8::7"}


@pytest.mark.parametrize("options", RESOLV_CONFS)
def test_every_instance_is_found_however_many_there_are(stub: Stub, options: str) -> None:
    found = stub.addresses(RESOLV_CONFS[options], "ahostsv4", "web.service.consul")
    assert found == {f"10.1.1.{number}" for number in range(INSTANCES)}


@pytest.mark.parametrize("options", RESOLV_CONFS)
def test_what_does_not_exist_is_not_found_at_once(stub: Stub, options: str) -> None:
    for name in ("none.service.consul", "none.node.consul", "nothing.consul"):
        assert stub.lookup(RESOLV_CONFS[options], "hosts", name) == (2, [])


def test_short_names_are_completed_by_the_search_list(stub: Stub) -> None:
    search = "search node.consul service.consul\n"
    assert stub.lookup(search, "hosts", "w5") == (0, ["10.1.1.5 w5.node.consul"])
    assert stub.lookup(search, "hosts", "six") == (0, ["2001:db8::6 six.node.consul"])
    assert stub.lookup(search + "options ndots:3\n", "hosts", "dual6.node.consul")[0] == 0
    assert stub.lookup(search, "hosts", "alias") == (0, ["10.1.2.2 alias.node.consul"])
