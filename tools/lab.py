"""`make lab`: the walk-through's cluster, left running: three servers in BJ and one in SH.

On test hosts in network namespaces with the addresses 192.168.99.128 to .131; where those are not allowed, on
127.0.0.128 to .131 of this machine. Ctrl-D or `exit` ends the lab and removes every trace of it.
"""

import shlex
import subprocess
import sys
import time

from tools.testhosts import Host, LoopbackNetwork, NamespaceNetwork, NamespacesNotAllowed

ADDRESSES = tuple(f"192.168.99.{last}" for last in range(128, 132))
START_TIMEOUT_S = 60
HELP = """
  node1 consul members             run any command on a host (node1 to node4)
  node1 consul operator raft list-peers
  node4 consul members -wan
  node4 consul kv get -datacenter=bj some/key
  node2 curl -s localhost:8500/v1/catalog/services
  node3 dig @127.0.0.1 -p 8600 consul.service.consul
  log node1                        the last lines of an agent's log
  hosts                            the hosts and their addresses
  help, exit
"""


def agent_command(host: Host, datacenter: str, client: str) -> list[str]:
    """The walk-through's own command line for one host."""
    data_dir = "/tmp/consul" if host.prefix else str(host.data_dir)
    # The walk-through starts the SH server with 3, and so without a leader; one server makes SH usable.
    expect = 3 if datacenter == "BJ" else 1
    return [
        *("consul", "agent", "-server", f"-bootstrap-expect={expect}", f"-data-dir={data_dir}"),
        *(f"-node={host.address}", f"-bind={host.address}", f"-client={client}", f"-datacenter={datacenter}", "-ui"),
    ]


def wait_for(host: Host, *argv: str, text: str) -> None:
    """Repeats a command on a host until its output holds `text`; SystemExit after START_TIMEOUT_S."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        done = host.run(*argv)
        if text in done.stdout:
            return
        time.sleep(0.2)
    raise SystemExit(f"{host.name}: `{' '.join(argv)}` did not show {text!r}:\n{done.stdout}{done.stderr}")


def type_on(host: Host, *argv: str) -> None:
    """Runs a command on a host and shows it the way a terminal would."""
    print(f"root@{host.name}:~# {' '.join(argv)}", flush=True)
    done = host.run(*argv)
    print(done.stdout + done.stderr, end="", flush=True)


def start_cluster(hosts: list[Host]) -> None:
    for number, host in enumerate(hosts):
        datacenter = "BJ" if number < 3 else "SH"
        command = agent_command(host, datacenter, "0.0.0.0" if host.prefix else host.address)
        print(f"{host.name}: {' '.join(command)}", flush=True)
        host.start(*command)
    for host in hosts:
        wait_for(host, "consul", "members", text=host.address)
    first, second, third, fourth = hosts
    type_on(second, "consul", "join", first.address)
    type_on(third, "consul", "join", first.address)
    type_on(fourth, "consul", "join", "-wan", first.address)
    wait_for(first, "consul", "operator", "raft", "list-peers", text="leader")
    type_on(first, "consul", "members")
    type_on(first, "consul", "operator", "raft", "list-peers")
    wait_for(fourth, "consul", "members", "-wan", text=third.address)
    type_on(fourth, "consul", "members", "-wan")


def answer(line: str, hosts: list[Host]) -> bool:
    """Does what one line at the prompt says; False to end."""
    words = shlex.split(line)
    by_name = {host.name: host for host in hosts}
    match words:
        case []:
            pass
        case ["exit" | "quit"]:
            return False
        case ["hosts"]:
            for host in hosts:
                print(f"  {host.name}  {host.address}  http://{host.address}:8500/ui/")
        case ["log", name] if name in by_name:
            print("\n".join(by_name[name].log().splitlines()[-30:]))
        case [name, *argv] if name in by_name and argv:
            host = by_name[name]
            subprocess.run((*host.prefix, *argv), env=host.environment, check=False)
        case _:
            print(HELP)
    return True


def prompt(hosts: list[Host]) -> None:
    print(HELP)
    while True:
        try:
            line = input("lab> ")
        except EOFError:
            return
        try:
            if not answer(line, hosts):
                return
        except (OSError, ValueError) as error:
            print(error)


def main() -> int:
    network: NamespaceNetwork | LoopbackNetwork
    try:
        network = NamespaceNetwork(ADDRESSES, "lab")
    except NamespacesNotAllowed as refusal:
        print(f"Network namespaces are not allowed here ({refusal}); using 127.0.0.128 to .131 instead.")
        network = LoopbackNetwork(len(ADDRESSES))
    try:
        start_cluster(network.hosts)
        prompt(network.hosts)
    except KeyboardInterrupt:
        print()
    finally:
        network.destroy()
    return 0


if __name__ == "__main__":
    sys.exit(main())
