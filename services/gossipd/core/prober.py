"""Failure detection: probe one node per interval, directly, through others, over a stream (SWIM 3.1, Lifeguard 4.1).

Also the other side: answering pings, and pinging on behalf of others.
"""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from gossipd.core.address import is_usable, to_text
from gossipd.core.context import Context
from gossipd.core.effects import Endpoint, LogLevel, SendPacket, StartStreamPing
from gossipd.core.messages import Ack, IndirectPing, Nack, Ping, Suspect
from gossipd.core.node import Node, NodeState
from gossipd.core.roster import draw_distinct
from gossipd.core.swim import Swim
from gossipd.core.timers import TimerKind

MAX_SEQUENCE = 2**32 - 1
MAX_RELAYED_PINGS = 1024
MAX_KEPT_DURATIONS = 256
NACK_PROTOCOL = 4
STREAM_PING_PROTOCOL = 3


class PingListener(Protocol):
    """Coordinates ride on pings."""

    def ack_payload(self) -> bytes: ...

    def ping_done(self, node: Node, round_trip_ns: int, payload: bytes) -> None: ...


@dataclass(slots=True)
class _Probe:
    sequence: int
    node: Node
    sent_ns: int
    deadline_ns: int
    indirect: bool = False
    expected_nacks: int = 0
    nacks: int = 0
    stream_worked: bool = False


@dataclass(frozen=True, slots=True)
class _RelayedPing:
    asker: tuple[str, int]
    sequence: int
    wants_nack: bool


class Prober:
    """At most one probe at a time; a tick that finds one running starts the next as soon as that one ends."""

    def __init__(self, context: Context, swim: Swim, listener: PingListener) -> None:
        self.context = context
        self.swim = swim
        self.listener = listener
        self._sequence = 0
        self._probe: _Probe | None = None
        self.durations_ns: deque[int] = deque(maxlen=MAX_KEPT_DURATIONS)
        """How long the last probes took, for whoever takes them out."""
        self._tick_missed = False
        self._next_tick_ns = 0
        self._relayed: dict[int, _RelayedPing] = {}

    def start(self) -> None:
        interval_ns = self.context.config.probe_interval_ns
        self._next_tick_ns = self.context.now_ns + int(self.context.random.random() * interval_ns) + 1
        self.context.timers.set(self._next_tick_ns, TimerKind.PROBE)

    # --- probing ---

    def tick(self) -> None:
        """The probe interval has come around."""
        interval_ns = self.context.config.probe_interval_ns
        late = (self.context.now_ns - self._next_tick_ns) // interval_ns
        self._next_tick_ns += (late + 1) * interval_ns
        self.context.timers.set(self._next_tick_ns, TimerKind.PROBE)
        if self._probe is None:
            self._probe_next()
        else:
            self._tick_missed = True

    def _probe_next(self) -> None:
        target = self._next_target()
        if target is None:
            return
        config, now_ns = self.context.config, self.context.now_ns
        awareness = self.swim.awareness
        if awareness.score:
            self.swim.counters["degraded_probe"] += 1
        probe = _Probe(self._next_sequence(), target, now_ns, now_ns + awareness.scaled(config.probe_interval_ns))
        self._probe = probe
        to = Endpoint(target.host, target.port)
        ping = Ping(probe.sequence, target.name)
        if target.state is NodeState.ALIVE:
            self.swim.send(to, ping)
        else:
            # A suspect is told so at once, that it can refute.
            suspect = Suspect(target.incarnation, target.name, config.name)
            parts = (self.context.codec.encode(ping), self.context.codec.encode(suspect))
            self.context.effects.append(SendPacket(to, parts, True))
        self.context.timers.set(now_ns + config.probe_timeout_ns, TimerKind.PROBE_TIMEOUT, token=probe.sequence)

    def _next_target(self) -> Node | None:
        """The next node of the ring that is worth a probe; at the end of a round the ring starts anew, once."""
        for _ in range(2):
            while (name := self.swim.ring.next()) is not None:
                node = self.swim.nodes.get(name)
                if node is not None and not node.is_dead_or_left and name != self.context.config.name:
                    return node
            self.swim.forget_gone()
        return None

    def timeout_due(self, sequence: int) -> None:
        """No direct answer in time: ask others, and try a stream."""
        probe = self._probe
        if probe is None or probe.sequence != sequence:
            return
        probe.indirect = True
        config, target = self.context.config, probe.node
        helpers = draw_distinct(
            self.swim.nodes,
            config.indirect_checks,
            lambda node: node.name not in (config.name, target.name) and node.state is NodeState.ALIVE,
            self.context.random,
        )
        for helper in helpers:
            nack = helper.protocol_max >= NACK_PROTOCOL
            probe.expected_nacks += nack
            request = IndirectPing(sequence, target.address, target.port, target.name, nack)
            self.swim.send(Endpoint(helper.host, helper.port), request)
        if config.stream_pings and target.protocol_max >= STREAM_PING_PROTOCOL:
            to = Endpoint(target.host, target.port)
            self.context.effects.append(StartStreamPing(sequence, target.name, to, probe.deadline_ns))
        self.context.timers.set(probe.deadline_ns, TimerKind.PROBE_DEADLINE, token=sequence)

    def stream_ping_done(self, sequence: int, worked: bool) -> None:
        """What became of a stream ping."""
        if worked and self._probe is not None and self._probe.sequence == sequence:
            self._probe.stream_worked = True

    def deadline_due(self, sequence: int) -> None:
        """Nothing has worked: suspect the node, unless a stream reached it."""
        probe = self._probe
        if probe is None or probe.sequence != sequence:
            return
        name = probe.node.name
        if probe.stream_worked:
            self._log(
                LogLevel.WARN,
                f"Was able to connect to {name} but other probes failed, network may be misconfigured",
            )
            self._finish(-1)
            return
        missing = probe.expected_nacks - probe.nacks
        delta = max(0, missing) if probe.expected_nacks else 1
        self._log(LogLevel.INFO, f"Suspect {name} has failed, no acks received")
        self.swim.handle_suspect(Suspect(probe.node.incarnation, name, self.context.config.name))
        self._finish(delta)

    def _finish(self, awareness_delta: int) -> None:
        self.swim.awareness.apply(awareness_delta)
        if self._probe is not None:
            self.durations_ns.append(self.context.now_ns - self._probe.sent_ns)
        self._probe = None
        if self._tick_missed:
            self._tick_missed = False
            self._probe_next()

    # --- answers coming in ---

    def handle_ack(self, message: Ack) -> None:
        probe = self._probe
        if probe is not None and probe.sequence == message.sequence:
            if not probe.indirect:
                self.listener.ping_done(probe.node, self.context.now_ns - probe.sent_ns, message.payload)
            self._finish(-1)
            return
        relayed = self._relayed.pop(message.sequence, None)
        if relayed is not None:
            self.swim.send(relayed.asker, Ack(relayed.sequence, b""))

    def handle_nack(self, message: Nack) -> None:
        if self._probe is not None and self._probe.sequence == message.sequence:
            self._probe.nacks += 1

    # --- requests of others ---

    def handle_ping(self, message: Ping, source: tuple[str, int]) -> None:
        if message.node and message.node != self.context.config.name:
            self._log(
                LogLevel.WARN,
                f"Got ping for unexpected node '{message.node}' from={source[0]}:{source[1]}",
            )
            return
        self.swim.send(source, Ack(message.sequence, self.listener.ack_payload()))

    def handle_indirect_ping(self, message: IndirectPing, source: tuple[str, int]) -> None:
        if not is_usable(message.address) or len(self._relayed) >= MAX_RELAYED_PINGS:
            return
        sequence = self._next_sequence()
        self._relayed[sequence] = _RelayedPing(source, message.sequence, message.nack)
        due_ns = self.context.now_ns + self.context.config.probe_timeout_ns
        self.context.timers.set(due_ns, TimerKind.RELAYED_PING, token=sequence)
        self.swim.send(Endpoint(to_text(message.address), message.port), Ping(sequence, message.node))

    def relayed_due(self, sequence: int) -> None:
        """The target of an indirect ping stayed silent."""
        relayed = self._relayed.pop(sequence, None)
        if relayed is not None and relayed.wants_nack:
            self.swim.send(relayed.asker, Nack(relayed.sequence))

    def _next_sequence(self) -> int:
        self._sequence = self._sequence % MAX_SEQUENCE + 1
        return self._sequence

    def _log(self, level: LogLevel, text: str) -> None:
        self.context.log(level, "memberlist", f"memberlist: {text}")
