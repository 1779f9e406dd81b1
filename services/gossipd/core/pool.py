"""One pool as one node sees it: the facade over SWIM, probing, Serf, queries and keys.

The driver feeds messages, stream results and the time (`receive`, `merge`, `tick`, …), then carries out
`take_effects()` and calls again by `wake_at_ns`. Times are integer nanoseconds that never run backwards.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from gossipd.core.codec import Codec
from gossipd.core.config import PoolConfig
from gossipd.core.context import Context
from gossipd.core.effects import (
    BroadcastFinished,
    Effect,
    Endpoint,
    LeaveFinished,
    QueryReceived,
    StartPushPull,
)
from gossipd.core.errors import MergeRefused
from gossipd.core.formulas import push_pull_interval_ns
from gossipd.core.keyring import Keyring
from gossipd.core.keys import KeyAnswers
from gossipd.core.member import Member
from gossipd.core.merge import check_versions, merge_nodes
from gossipd.core.messages import (
    Ack,
    Alive,
    Dead,
    IndirectPing,
    JoinIntent,
    LeaveIntent,
    Message,
    Nack,
    Ping,
    PushPull,
    Query,
    QueryResponse,
    Relay,
    Suspect,
    UserEvent,
)
from gossipd.core.node import Node, NodeState
from gossipd.core.policy import Candidate, Policy
from gossipd.core.prober import Prober
from gossipd.core.queries import Queries, QueryKey
from gossipd.core.roster import ProbeRing, Roster, RosterLike, draw_distinct
from gossipd.core.serf import Serf
from gossipd.core.snapshot import Snapshotter
from gossipd.core.swim import Swim
from gossipd.core.timers import TimerKind

CLOCK_SNAPSHOT_NS = 500_000_000
LEAVE_INTENT_WAITER = 1
LEAVE_DEAD_WAITER = 2
FIRST_FREE_WAITER = 3


class Pool:
    """Construct, `start`, then feed."""

    def __init__(
        self,
        config: PoolConfig,
        codec: Codec,
        policy: Policy,
        random: Random,
        now_ns: int,
        keyring: Keyring | None = None,
        snapshotter: Snapshotter | None = None,
        nodes: RosterLike[Node] | None = None,
        members: RosterLike[Member] | None = None,
        ring: ProbeRing | None = None,
    ) -> None:
        self.config = config
        self.policy = policy
        self.context = context = Context(config, codec, random, now_ns)
        self.keyring = keyring or Keyring()
        self.swim = Swim(context, nodes if nodes is not None else Roster(), ring or ProbeRing())
        self.serf = Serf(context, self.swim, members if members is not None else Roster(), policy, snapshotter)
        self.swim.listener = self.serf
        self.prober = Prober(context, self.swim, self.serf)
        self.keys = KeyAnswers(context, self.keyring)
        self.queries = Queries(context, self.serf, self.keys)
        self._leave_step = 0
        self._next_waiter = FIRST_FREE_WAITER
        self._handlers: dict[type, Callable[[Any, bytes, tuple[str, int]], None]] = {
            Ping: lambda message, _, source: self.prober.handle_ping(message, source),
            IndirectPing: lambda message, _, source: self.prober.handle_indirect_ping(message, source),
            Ack: lambda message, *_: self.prober.handle_ack(message),
            Nack: lambda message, *_: self.prober.handle_nack(message),
            Suspect: lambda message, *_: self.swim.handle_suspect(message),
            Alive: lambda message, *_: self.swim.handle_alive(message),
            Dead: lambda message, *_: self.swim.handle_dead(message),
            LeaveIntent: self._passing_on(self.serf.handle_leave_intent),
            JoinIntent: self._passing_on(self.serf.handle_join_intent),
            UserEvent: self._passing_on(self.serf.handle_user_event),
            Query: self._passing_on(self.queries.handle_query),
            QueryResponse: lambda message, *_: self.queries.handle_response(message),
            Relay: lambda message, *_: self.queries.handle_relay(message),
        }
        self._timer_handlers: dict[TimerKind, Callable[[str, int], None]] = {
            TimerKind.PROBE: lambda *_: self.prober.tick(),
            TimerKind.PROBE_TIMEOUT: lambda _, token: self.prober.timeout_due(token),
            TimerKind.PROBE_DEADLINE: lambda _, token: self.prober.deadline_due(token),
            TimerKind.RELAYED_PING: lambda _, token: self.prober.relayed_due(token),
            TimerKind.SUSPICION: self.swim.suspicion_due,
            TimerKind.GOSSIP: lambda *_: self.swim.gossip_due(),
            TimerKind.PUSH_PULL: lambda *_: self._push_pull_due(),
            TimerKind.REAP: lambda *_: self.serf.reap(),
            TimerKind.RECONNECT: lambda *_: self.serf.reconnect(),
            TimerKind.QUEUE_CHECK: lambda *_: self.serf.check_queues(),
            TimerKind.QUERY: lambda subject, token: self.queries.close((int(subject), token)),
            TimerKind.LEAVE_STEP: lambda _, token: self._maybe_step_leave(token),
            TimerKind.PRUNE: lambda subject, _: self.serf.prune_due(subject),
            TimerKind.CLOCK_SNAPSHOT: lambda *_: self._snapshot_clocks_due(),
        }

    def _passing_on(self, handle: Callable[[Any], bool]) -> Callable[[Any, bytes, tuple[str, int]], None]:
        def handler(message: Any, raw: bytes, source: tuple[str, int]) -> None:
            if handle(message):
                self.serf.pass_on(message, raw)

        return handler

    # --- time and effects ---

    @property
    def wake_at_ns(self) -> int:
        return self.context.timers.wake_at_ns

    def take_effects(self) -> list[Effect]:
        self._report_finished_broadcasts()
        effects, self.context.effects = self.context.effects, []
        return effects

    def start(self, tags: dict[str, str], now_ns: int) -> None:
        """Be a pool of one, and begin to probe, gossip and exchange views."""
        self._enter(now_ns)
        context = self.context
        if self.serf.snapshotter is not None:
            state = self.serf.snapshotter.state
            self.serf.clock.witness(state.clock)
            self.serf.events.clock.witness(state.event_clock)
            self.serf.queries_seen.clock.witness(state.query_clock)
            self.serf.events.minimum_time = state.event_clock + 1
            self.serf.queries_seen.minimum_time = state.query_clock + 1
            context.timers.set(now_ns + CLOCK_SNAPSHOT_NS, TimerKind.CLOCK_SNAPSHOT)
        self.swim.start(context.codec.encode_tags(tags))
        self.start_timers()

    def start_timers(self) -> None:
        """Begin to probe, exchange views and keep house; alone, it resumes a pool whose rosters were handed in."""
        config, context, now_ns = self.config, self.context, self.context.now_ns
        self.prober.start()
        context.timers.set(now_ns + int(context.random.random() * self._push_pull_interval_ns()), TimerKind.PUSH_PULL)
        context.timers.set(now_ns + config.reap_interval_ns, TimerKind.REAP)
        context.timers.set(now_ns + config.reconnect_interval_ns, TimerKind.RECONNECT)
        context.timers.set(now_ns + config.queue_check_interval_ns, TimerKind.QUEUE_CHECK)

    def tick(self, now_ns: int) -> None:
        """Handle all timers that are due."""
        self._enter(now_ns)
        while (timer := self.context.timers.pop_due(self.context.now_ns)) is not None:
            kind, subject, token = timer
            self._timer_handlers[kind](subject, token)

    def _enter(self, now_ns: int) -> None:
        if now_ns > self.context.now_ns:
            self.context.now_ns = now_ns

    # --- the network ---

    def receive(self, received: Sequence[tuple[Message, bytes]], source: tuple[str, int], now_ns: int) -> None:
        """Messages of one packet, each with its bytes."""
        self._enter(now_ns)
        handlers = self._handlers
        for message, raw in received:
            handlers[type(message)](message, raw, source)

    def stream_ping_done(self, sequence: int, worked: bool, now_ns: int) -> None:
        self._enter(now_ns)
        self.prober.stream_ping_done(sequence, worked)

    def push_pull(self, join: bool) -> PushPull:
        """Our whole view, to be sent."""
        return PushPull(join, tuple(self.swim.nodes.values()), self.serf.local_state())

    def merge(self, remote: PushPull, now_ns: int, ignore_old_events: bool = False) -> None:
        """Takes a remote view in. Raises MergeRefused and changes nothing when it may not be.

        `ignore_old_events`: this is the answer to a join that a user asked for; what was fired before is not for us.
        """
        self._enter(now_ns)
        check_versions(self.swim, remote.nodes)
        if remote.join:
            decode_tags = self.context.codec.decode_tags
            refusal = self.policy.refusal([Candidate(node.name, decode_tags(node.meta)) for node in remote.nodes])
            if refusal is not None:
                raise MergeRefused(refusal)
        merge_nodes(self.swim, remote.nodes)
        if remote.serf is not None:
            self.serf.merge_state(remote.serf, ignore_old_events)

    def joined(self, now_ns: int) -> None:
        """At least one address of a join was reached: tell the pool."""
        self._enter(now_ns)
        self.serf.broadcast_join()

    def _push_pull_interval_ns(self) -> int:
        return push_pull_interval_ns(self.config.push_pull_interval_ns, len(self.swim.nodes))

    def _push_pull_due(self) -> None:
        self.context.timers.set(self.context.now_ns + self._push_pull_interval_ns(), TimerKind.PUSH_PULL)
        name = self.config.name
        for node in draw_distinct(
            self.swim.nodes,
            1,
            lambda node: node.name != name and node.state is NodeState.ALIVE,
            self.context.random,
        ):
            self.context.effects.append(StartPushPull(node.name, Endpoint(node.host, node.port), False))

    # --- what users ask for ---

    def set_tags(self, tags: dict[str, str], now_ns: int) -> None:
        """Publish other tags."""
        self._enter(now_ns)
        self.swim.set_meta(self.context.codec.encode_tags(tags))

    def fire_event(self, name: str, payload: bytes, coalesce: bool, now_ns: int) -> int:
        """Broadcast a user event. Raises EventTooLarge."""
        self._enter(now_ns)
        return self.serf.fire_event(name, payload, coalesce)

    def ask(
        self,
        name: str,
        payload: bytes,
        now_ns: int,
        filters: Sequence[bytes] = (),
        relay_factor: int = 0,
        acks: bool = False,
        timeout_ns: int = 0,
    ) -> QueryKey:
        """Ask the pool a query; answers come as effects with this key. Raises PoolError."""
        self._enter(now_ns)
        return self.queries.ask(name, payload, filters, relay_factor, acks, timeout_ns)

    def close_query(self, key: QueryKey, now_ns: int) -> None:
        """Stop waiting for answers."""
        self._enter(now_ns)
        self.queries.close(key)

    def respond(self, received: QueryReceived, payload: bytes, now_ns: int) -> None:
        """Answer a query. Raises PoolError when it is too late or too long."""
        self._enter(now_ns)
        self.queries.respond(received.query, payload, received.deadline_ns)

    def force_leave(self, name: str, prune: bool, now_ns: int) -> int:
        """Make a failed member left. Returns the number that a BroadcastFinished will carry. Raises NoSuchMember."""
        self._enter(now_ns)
        waiter = self._next_waiter
        self._next_waiter += 1
        self.serf.broadcast_leave(name, prune, waiter)
        return waiter

    def leave(self, now_ns: int) -> None:
        """Leave gracefully; LeaveFinished says when it is done. A second call changes nothing."""
        self._enter(now_ns)
        if self._leave_step:
            return
        self._leave_step = 1
        self.serf.leaving = True
        self.serf.snapshot_leave()
        self.serf.broadcast_leave(self.config.name, False, LEAVE_INTENT_WAITER)
        self._await_leave_step(self.config.broadcast_timeout_ns)

    def _await_leave_step(self, timeout_ns: int) -> None:
        """Nobody else there: nothing to wait for."""
        if not self.swim.others_alive():
            timeout_ns = 0
        self.context.timers.set(self.context.now_ns + timeout_ns, TimerKind.LEAVE_STEP, token=self._leave_step)

    def _maybe_step_leave(self, step: int) -> None:
        if step != self._leave_step:
            return
        self._leave_step += 1
        if self._leave_step == 2:
            self.swim.declare_left(LEAVE_DEAD_WAITER)
            self._await_leave_step(self.config.broadcast_timeout_ns)
        elif self._leave_step == 3:
            self._await_leave_step(self.config.leave_propagate_delay_ns)
        else:
            self.context.effects.append(LeaveFinished())

    def _report_finished_broadcasts(self) -> None:
        for queue in (self.swim.queue, self.serf.intent_queue):
            if not queue.finished_waiters:
                continue
            finished, queue.finished_waiters = queue.finished_waiters, []
            for waiter in finished:
                if waiter < FIRST_FREE_WAITER:
                    self._maybe_step_leave(waiter)
                else:
                    self.context.effects.append(BroadcastFinished(waiter))

    def _snapshot_clocks_due(self) -> None:
        self.context.timers.set(self.context.now_ns + CLOCK_SNAPSHOT_NS, TimerKind.CLOCK_SNAPSHOT)
        self.serf.snapshot_clocks()
