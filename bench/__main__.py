"""`make bench`: the figures people feel, each the median of several runs, beside a peer where there is one.

The load generators (wrk, dnsperf) run on the same machine as what they measure. Names pick parts: kv health dns startup
memory cluster checks state scale watchers detection; without any, all run, which takes about a quarter of an hour.
`docs/measurements.md` records figures and says how each was got.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import state_bench
from bench.checks import DEFAULT_COUNT, GOAL_PERCENT, measure_checks
from bench.detection import bench_detection
from bench.dns_load import measure_dns
from bench.http_load import ETCD_GET, ETCD_PUT, PUT_UNIQUE_KEYS, rate
from bench.memory import tree_pss_mb
from bench.peers import PeerMissing, etcd
from bench.report import DEFAULT_RUNS, Measure, measure, show
from bench.scale import bench_scale
from bench.watchers import bench_watchers
from tools.agents import Agent, make_agent, running, temporary_folder, wait_until

INSTANCES = 10
FAST = {"performance": {"raft_multiplier": 1}}


def single(folder: Path) -> Agent:
    return make_agent(folder, "n1", "-server", "-bootstrap-expect=1", config={**FAST, "limits": UNLIMITED})


UNLIMITED = {"http_max_conns_per_client": 10_000}


def register_instances(agent: Agent, count: int = INSTANCES) -> None:
    """`count` instances of the service "web" on nodes of their own, each with one passing check."""
    for number in range(count):
        node = f"web{number}"
        service = {"ID": f"web-{number}", "Service": "web", "Port": 8000 + number, "Tags": ["v1", "primary"]}
        check = {
            "Node": node,
            "CheckID": f"web-{number}",
            "Name": "alive",
            "Status": "passing",
            "ServiceID": f"web-{number}",
        }
        agent.put(
            "/v1/catalog/register",
            {"Node": node, "Address": f"10.0.0.{number + 1}", "Service": service, "Check": check},
        )
    wait_until("the instances are there", lambda: len(agent.get("/v1/health/service/web?passing")) == count)


def bench_kv() -> None:
    with temporary_folder("lictor-bench-") as folder:
        agent = single(folder)
        with running(agent):
            agent.wait_leader()
            agent.put("/v1/kv/bench/get", b"value-of-some-thirty-two-bytes--")
            url = f"http://{agent.http}"
            get = measure("KV get, 64 connections", "/s", lambda: rate(f"{url}/v1/kv/bench/get"))
            put = measure("KV put, 64 connections", "/s", lambda: rate(url, PUT_UNIQUE_KEYS))
    try:
        with etcd() as client:
            rate(f"{client}/v3/kv/put", ETCD_PUT, duration_s=1)
            peer_get = measure(
                "  etcd range (linearizable, JSON)", "/s", lambda: rate(f"{client}/v3/kv/range", ETCD_GET)
            )
            peer_put = measure("  etcd put (JSON gateway)", "/s", lambda: rate(client, ETCD_PUT))
    except PeerMissing as missing:
        print(f"  no peer: {missing}")
        show(get)
        show(put)
        return
    show(get, peer_get)
    show(put, peer_put)


def bench_health() -> None:
    with temporary_folder("lictor-bench-") as folder:
        agent = single(folder)
        with running(agent):
            agent.wait_leader()
            register_instances(agent)
            url = f"http://{agent.http}/v1/health/service/web?passing"
            show(measure(f"health/service?passing, {INSTANCES} instances", "/s", lambda: rate(url)))


def bench_dns() -> None:
    with temporary_folder("lictor-bench-") as folder:
        agent = single(folder)
        with running(agent):
            agent.wait_leader()
            register_instances(agent)
            measure_dns(agent)


def bench_startup() -> None:
    def run() -> tuple[float, float]:
        with temporary_folder("lictor-bench-") as folder:
            agent = single(folder)
            started = time.monotonic()
            with running(agent):
                answered = time.monotonic() - started
                agent.wait_leader()
                return answered, time.monotonic() - started

    run()
    times = [run() for _ in range(DEFAULT_RUNS)]
    show(Measure("exec to the first HTTP answer", "s", tuple(answered for answered, _ in times)))
    show(Measure("exec to a leader (raft_multiplier 1)", "s", tuple(led for _, led in times)))


def bench_memory() -> None:
    with temporary_folder("lictor-bench-") as folder:
        agent = single(folder)
        with running(agent):
            agent.wait_leader()
            assert agent.process is not None
            time.sleep(5)
            idle = tuple(tree_pss_mb(agent.process.pid) for _ in range(DEFAULT_RUNS))
            rate(f"http://{agent.http}", PUT_UNIQUE_KEYS)
            loaded = tuple(tree_pss_mb(agent.process.pid) for _ in range(DEFAULT_RUNS))
    show(Measure("memory of the whole agent, idle (PSS)", "MB", idle))
    show(Measure("memory of the whole agent, after writes (PSS)", "MB", loaded))


def bench_cluster() -> None:
    with temporary_folder("lictor-bench-") as folder:
        config = {**FAST, "limits": UNLIMITED}
        first = make_agent(folder / "s1", "s1", "-server", "-bootstrap-expect=3", config=config)
        others = [
            make_agent(folder / name, name, "-server", "-bootstrap-expect=3", f"-retry-join={first.lan}", config=config)
            for name in ("s2", "s3")
        ]
        agents = [first, *others]
        with running(*agents):
            address = wait_until("a leader", lambda: first.get("/v1/status/leader"), 40)
            leader = next(agent for agent in agents if address == f"{agent.host}:{agent.ports['server']}")
            follower = next(agent for agent in agents if agent is not leader)
            leader.put("/v1/kv/bench/get", b"value-of-some-thirty-two-bytes--")
            put_url, get_url = f"http://{leader.http}", f"http://{follower.http}/v1/kv/bench/get"
            show(measure("three servers: KV put through the leader", "/s", lambda: rate(put_url, PUT_UNIQUE_KEYS)))
            show(measure("three servers: KV get through a follower", "/s", lambda: rate(get_url)))


def bench_checks() -> None:
    load = asyncio.run(measure_checks(DEFAULT_COUNT))
    print(
        f"{load.checks:,} checks at {load.runs_per_s:.0f} runs/s: {load.cpu_percent:.1f}% of one core "
        f"(goal {GOAL_PERCENT:g}%), {load.resident_mb:.0f} MB resident, {load.passing:,} passing"
    )


PARTS: dict[str, Callable[[], None]] = {
    "kv": bench_kv,
    "health": bench_health,
    "dns": bench_dns,
    "startup": bench_startup,
    "memory": bench_memory,
    "cluster": bench_cluster,
    "checks": bench_checks,
    "state": state_bench.measure_state,
    "scale": bench_scale,
    "watchers": bench_watchers,
    "detection": bench_detection,
}


def main() -> int:
    wanted = sys.argv[1:] or list(PARTS)
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        print(f"unknown part {unknown[0]}; there are: {' '.join(PARTS)}")
        return 2
    for name in wanted:
        print(f"== {name} (load of the last minute before it: {os.getloadavg()[0]:.2f})", flush=True)
        PARTS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
