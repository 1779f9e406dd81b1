"""What is counted about gossip: the transport and the driver report events, the core's own counts are read.

Both pools of a server count in the same series, as in Consul.
"""

from __future__ import annotations

from collections import Counter

from gossipd.core.pool import Pool
from lictor import telemetry

_counter, _sample = telemetry.counter, telemetry.sample

UDP_SENT = _counter("memberlist.udp.sent")
UDP_RECEIVED = _counter("memberlist.udp.received")
TCP_SENT = _counter("memberlist.tcp.sent")
TCP_ACCEPTED = _counter("memberlist.tcp.accept")
TCP_CONNECTED = _counter("memberlist.tcp.connect")
PUSH_PULLS = _sample("memberlist.pushPullNode")
SNAPSHOT_APPENDS = _sample("serf.snapshot.appendLine")
SNAPSHOT_REWRITES = _sample("serf.snapshot.compact")
GOSSIP_ROUNDS = _sample("memberlist.gossip")
_PROBES = _sample("memberlist.probeNode")
_HEALTH = telemetry.gauge("memberlist.health.score")

# The core's names, see `Serf.counters`, `Swim.counters`.
_SERF = {
    "coordinate_rejected": _counter("serf.coordinate.rejected"),
    "events": _counter("serf.events"),
    "queries": _counter("serf.queries"),
    "query_acks": _counter("serf.query_acks"),
    "query_duplicate_acks": _counter("serf.query_duplicate_acks"),
    "query_duplicate_responses": _counter("serf.query_duplicate_responses"),
    "query_responses": _counter("serf.query_responses"),
    "join": _counter("serf.member.join"),
    "leave": _counter("serf.member.left"),
    "failed": _counter("serf.member.failed"),
    "update": _counter("serf.member.update"),
}
_SWIM = {
    "alive": _counter("memberlist.msg.alive"),
    "suspect": _counter("memberlist.msg.suspect"),
    "dead": _counter("memberlist.msg.dead"),
    "degraded_probe": _counter("memberlist.degraded.probe"),
}
_QUEUES = {
    "Event": _sample("serf.queue.Event"),
    "Intent": _sample("serf.queue.Intent"),
    "Query": _sample("serf.queue.Query"),
}


def user_event(name: str) -> None:
    """A user event of this name was delivered."""
    _counter("serf.events.<name>", part=name).increment()


def query(name: str) -> None:
    """A query of this name was delivered."""
    _counter("serf.queries.<name>", part=name).increment()


class PoolMetrics:
    """Reads one pool's counts whenever figures are wanted."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._seen: dict[str, int] = {}

    def start(self) -> None:
        """From now on."""
        telemetry.PROCESS.before_reading.append(self.read)

    def stop(self) -> None:
        """Not any more; what was counted last is taken over."""
        if self.read in telemetry.PROCESS.before_reading:
            self.read()
            telemetry.PROCESS.before_reading.remove(self.read)

    def read(self) -> None:
        """Take over what the core has counted since the last time."""
        pool = self._pool
        self._take(pool.serf.counters, _SERF)
        self._take(pool.swim.counters, _SWIM)
        durations_ns = pool.prober.durations_ns
        while durations_ns:
            _PROBES.add(durations_ns.popleft() / 1e6)
        _HEALTH.set(float(pool.swim.awareness.score))
        serf = pool.serf
        for name, queue in (("Event", serf.event_queue), ("Intent", serf.intent_queue), ("Query", serf.query_queue)):
            _QUEUES[name].add(len(queue))

    def _take(self, counts: Counter[str], series: dict[str, telemetry.Counter]) -> None:
        for name, counter in series.items():
            count = counts[name]
            counter.add_many(1.0, count - self._seen.get(name, 0))
            self._seen[name] = count
