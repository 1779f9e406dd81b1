"""DNS questions per second through dnsperf, beside bind9 with the same records in a static zone."""

import re
import subprocess
import tempfile
from functools import partial

from bench.peers import PeerMissing, bind9, program
from bench.report import measure, show
from tools.agents import Agent

DURATION_S = 4
RATE = re.compile(r"Queries per second:\s+([\d.]+)")
LOST = re.compile(r"Queries lost:\s+(\d+)")
QUESTIONS = {
    "A": "web.service.consul A\n",
    "SRV": "web.service.consul SRV\n",
    "A, SRV and node, mixed": "web.service.consul A\nweb.service.consul SRV\nweb3.node.consul A\n",
}
INSTANCES = 10


def questions_per_second(port: int, questions: str, host: str = "127.0.0.1") -> float:
    """Answers per second at 100 outstanding questions; 0 when the server lost more than a hundredth."""
    with tempfile.NamedTemporaryFile("w", suffix=".questions") as file:
        file.write(questions)
        file.flush()
        argv = [program("dnsperf"), "-s", host, "-p", str(port), "-d", file.name, "-l", str(DURATION_S)]
        done = subprocess.run([*argv, "-c", "4", "-q", "100"], capture_output=True, text=True, timeout=60, check=True)
    found, lost = RATE.search(done.stdout), LOST.search(done.stdout)
    assert found and lost, done.stdout
    assert int(lost.group(1)) < float(found.group(1)) * DURATION_S / 100, done.stdout
    return float(found.group(1))


def static_records() -> str:
    """The zone that holds what the agent answers for the benchmark's service."""
    lines = []
    for number in range(INSTANCES):
        lines.append(f"web.service IN A 10.0.0.{number + 1}")
        lines.append(f"web.service IN SRV 1 1 {8000 + number} web{number}.node.dc")
        lines.append(f"web{number}.node IN A 10.0.0.{number + 1}")
        lines.append(f"web{number}.node.dc IN A 10.0.0.{number + 1}")
    return "\n".join(lines)


def measure_dns(agent: Agent) -> None:
    """Prints the rate of each kind of question beside bind9's."""
    for name, questions in QUESTIONS.items():
        ours = measure(f"DNS {name}", "/s", partial(questions_per_second, agent.ports["dns"], questions))
        try:
            with bind9(static_records()) as port:
                peer = measure("  bind9, static zone", "/s", partial(questions_per_second, port, questions))
        except PeerMissing as missing:
            print(f"  no peer: {missing}")
            show(ours)
            continue
        show(ours, peer)
