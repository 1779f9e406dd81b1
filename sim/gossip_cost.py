"""What one member of a large pool costs its process: CPU time of every kind of work, measured on the real code.

python -m sim.gossip_cost --members 5000
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from random import Random

from gossipd.core.config import VERSIONS, lan
from gossipd.core.formulas import push_pull_interval_ns
from gossipd.core.messages import Ack, Alive, Ping
from gossipd.core.policy import OpenPolicy
from gossipd.core.pool import Pool
from gossipd.wire.codec import WireCodec
from gossipd.wire.packet import open_packet, seal
from gossipd.wire.push_pull import NodeEncodings, decode_push_pull, encode_push_pull
from gossipd.wire.security import Security
from sim.gossip_size import TAGS

REPEATS = 200
SECURITIES = {"plain": Security(), "encrypted": Security((bytes(32),))}


def best_ms(work: Callable[[], object], repeats: int) -> float:
    """The least CPU time of one run, in milliseconds: what the work costs when nobody disturbs it."""
    times = []
    for _ in range(repeats):
        started_ns = time.process_time_ns()
        work()
        times.append(time.process_time_ns() - started_ns)
    return min(times) / 1e6


def filled_pool(members: int) -> Pool:
    codec = WireCodec()
    meta = codec.encode_tags(TAGS)
    pool = Pool(lan("me", bytes((10, 255, 0, 1)), 8301), codec, OpenPolicy(), Random(1), 0)
    pool.start(TAGS, 0)
    for number in range(members - 1):
        address = bytes((10, number >> 16, number >> 8 & 255, number & 255))
        pool.receive([(Alive(1, f"node-{number:05d}", address, 8301, meta, VERSIONS), b"")], ("10.0.0.1", 8301), 0)
    pool.take_effects()
    pool.swim.queue.prune(0)
    return pool


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sim.gossip_cost", description=__doc__)
    parser.add_argument("--members", type=int, default=5000)
    members = parser.parse_args().members
    pool = filled_pool(members)
    codec = WireCodec()
    encodings = NodeEncodings()
    view = pool.push_pull(False)
    assert view.serf is not None
    serf_state = view.serf
    message = encode_push_pull(False, view.nodes, serf_state, encodings)

    def received() -> None:
        encodings.retain(view.nodes)
        pool.merge(decode_push_pull(message[1:], encodings.alive), 1)

    def answered() -> None:
        own = pool.push_pull(False)
        assert own.serf is not None
        encode_push_pull(False, own.nodes, own.serf, encodings)

    print(f"{members} members; a push/pull is {len(message) / 1e6:.2f} MB")
    print(f"| receive and merge a view | {best_ms(received, 20):.2f} ms |")
    print(
        f"| the same without the cache of encodings | {best_ms(lambda: decode_push_pull(message[1:], {}), 5):.2f} ms |"
    )
    print(f"| make and encode our view | {best_ms(answered, 20):.2f} ms |")
    ack = Ack(7, pool.serf.ack_payload())
    for name, security in SECURITIES.items():
        sealed = seal((codec.encode(Ping(7, "me")),), security, False)

        def ping(security: Security = security, sealed: bytes = sealed) -> None:
            pool.receive(open_packet(sealed, security).messages, ("10.0.0.1", 8301), 2)
            for effect in pool.take_effects():
                seal(effect.parts, security, False)  # type: ignore[union-attr]

        print(f"| answer a ping, {name} | {best_ms(ping, REPEATS):.3f} ms |")
        sealed_ack = seal((codec.encode(ack),), security, False)
        print(f"| read an ack, {name} | {best_ms(lambda: open_packet(sealed_ack, security), REPEATS):.3f} ms |")  # noqa: B023
    interval_s = push_pull_interval_ns(pool.config.push_pull_interval_ns, members) / 1e9
    # One exchange that this member begins per interval, and one on average that it is asked for.
    exchange_ms = best_ms(received, 20) + best_ms(answered, 20)
    print(f"| push/pull in all, share of one core | {2 * exchange_ms / interval_s / 10:.3f} % |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
