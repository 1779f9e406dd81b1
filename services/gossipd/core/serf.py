"""Serf on top of SWIM: members with tags and a longer memory, join and leave intents, user events.

Rules kept here (memberlist wire notes 7, Lamport clocks):
* an intent older than what is known of a member changes nothing and is not passed on;
* a member that announced its leave before it fell silent has left, any other has failed;
* an intent about nobody known waits five minutes for that member to appear;
* an event is delivered once, and not at all when it is more than 512 behind the clock.
"""

from collections import Counter
from typing import NamedTuple

from gossipd.core.address import to_text
from gossipd.core.broadcasts import BroadcastQueue
from gossipd.core.context import Context
from gossipd.core.coordinate import Coordinate, CoordinateClient, CoordinateError
from gossipd.core.effects import (
    Endpoint,
    LogLevel,
    MemberChanged,
    MemberEventKind,
    SnapshotAppend,
    SnapshotRewrite,
    StartPushPull,
    UserEventReceived,
)
from gossipd.core.errors import EventTooLarge, NoSuchMember
from gossipd.core.events import RecentBuffer
from gossipd.core.lamport import LamportClock
from gossipd.core.member import Member, MemberStatus
from gossipd.core.messages import (
    EventSlot,
    JoinIntent,
    LeaveIntent,
    Query,
    SerfMessage,
    SerfState,
    UserEvent,
)
from gossipd.core.node import Node
from gossipd.core.policy import Candidate, Policy
from gossipd.core.roster import RosterLike
from gossipd.core.snapshot import Snapshotter
from gossipd.core.swim import Swim
from gossipd.core.timers import TimerKind

USER_EVENT_SANE_BYTES = 9 * 1024
MAX_RECENT_INTENTS = 65_536
MAX_KEPT_COORDINATES = 65_536


class _RecentIntent(NamedTuple):
    leaves: bool
    lamport_time: int
    heard_at_ns: int


class Serf:
    """The membership that users see. Implements what Swim and Prober ask of the layer above them."""

    def __init__(
        self,
        context: Context,
        swim: Swim,
        members: RosterLike[Member],
        policy: Policy,
        snapshotter: Snapshotter | None,
    ) -> None:
        self.context = context
        self.swim = swim
        self.members = members
        self.policy = policy
        self.snapshotter = snapshotter
        self.leaving = False
        self.clock = LamportClock()
        self.events: RecentBuffer[tuple[str, bytes]] = RecentBuffer(LamportClock())
        self.queries_seen: RecentBuffer[int] = RecentBuffer(LamportClock())
        retransmit_mult = context.config.retransmit_mult
        self.intent_queue = BroadcastQueue(retransmit_mult)
        self.query_queue = BroadcastQueue(retransmit_mult)
        self.event_queue = BroadcastQueue(retransmit_mult)
        self.failed: dict[str, int] = {}
        self.left: dict[str, int] = {}
        self.coordinates = CoordinateClient(context.random)
        self.peer_coordinates: dict[str, Coordinate] = {}
        self.counters: Counter[str] = Counter()
        self._intents: dict[str, _RecentIntent] = {}
        self._ack_payload = b""

    # --- what Swim asks and tells ---

    def check_alive(self, node: Node) -> str | None:
        return self.policy.refusal((Candidate(node.name, self.context.codec.decode_tags(node.meta)),))

    def take_broadcasts(self, overhead_bytes: int, limit_bytes: int) -> list[bytes]:
        """Intents first, then queries, then events."""
        taken: list[bytes] = []
        for queue in (self.intent_queue, self.query_queue, self.event_queue):
            if len(queue):
                some = queue.take(overhead_bytes, limit_bytes, len(self.members))
                limit_bytes -= sum(map(len, some)) + overhead_bytes * len(some)
                taken += some
        return taken

    def has_broadcasts(self) -> bool:
        return bool(len(self.intent_queue) or len(self.query_queue) or len(self.event_queue))

    def has_left(self, name: str) -> bool:
        return name in self.left

    def node_joined(self, node: Node) -> None:
        known = self.members.get(node.name)
        tags = self.context.codec.decode_tags(node.meta)
        if known is None:
            member = Member(node, tags, MemberStatus.ALIVE, 0, 0)
            intent = self._intents.get(node.name)
            if intent is not None:
                status = MemberStatus.LEAVING if intent.leaves else MemberStatus.ALIVE
                member = member._replace(status=status, status_time=intent.lamport_time)
        else:
            member = known._replace(node=node, tags=tags, status=MemberStatus.ALIVE, gone_at_ns=0)
            self.failed.pop(node.name, None)
            self.left.pop(node.name, None)
        self.members.put(node.name, member)
        self._log(LogLevel.INFO, f"EventMemberJoin: {node.name} {node.host}")
        self._changed(MemberEventKind.JOIN, member)

    def node_left(self, node: Node) -> None:
        known = self.members.get(node.name)
        if known is None:
            return
        if known.status is MemberStatus.LEAVING:
            kind, status, gone = MemberEventKind.LEAVE, MemberStatus.LEFT, self.left
        elif known.status is MemberStatus.ALIVE:
            kind, status, gone = MemberEventKind.FAILED, MemberStatus.FAILED, self.failed
        else:
            self._log(LogLevel.WARN, f"Bad state when leave: {int(known.status)}")
            return
        gone[node.name] = self.context.now_ns
        member = known._replace(node=node, status=status, gone_at_ns=self.context.now_ns)
        self.members.put(node.name, member)
        name = "EventMemberLeave" if kind is MemberEventKind.LEAVE else "EventMemberFailed"
        self._log(LogLevel.INFO, f"{name}: {node.name} {node.host}")
        self._changed(kind, member)

    def node_updated(self, node: Node) -> None:
        known = self.members.get(node.name)
        if known is None:
            return
        member = known._replace(node=node, tags=self.context.codec.decode_tags(node.meta))
        self.members.put(node.name, member)
        self._log(LogLevel.INFO, f"EventMemberUpdate: {node.name}")
        self._changed(MemberEventKind.UPDATE, member)

    def name_conflict(self, known: Node, address: bytes, port: int) -> None:
        other = to_text(address)
        if known.name == self.context.config.name:
            self._log(
                LogLevel.ERROR,
                f"Node name conflicts with another node at {other}:{port}. Names must be unique! "
                "(Resolution enabled: false)",
            )
        else:
            self._log(
                LogLevel.WARN,
                f"Name conflict for '{known.name}' both {known.host}:{known.port} and {other}:{port} are claiming",
            )

    # --- coordinates ride on pings ---

    def ack_payload(self) -> bytes:
        if not self.context.config.coordinates:
            return b""
        if not self._ack_payload:
            self._ack_payload = self.context.codec.encode_coordinate(self.coordinates.coordinate)
        return self._ack_payload

    def ping_done(self, node: Node, round_trip_ns: int, payload: bytes) -> None:
        if not self.context.config.coordinates or not payload:
            return
        try:
            peer = self.context.codec.decode_coordinate(payload)
            if peer is None:
                self._log(LogLevel.ERROR, f"Unsupported ping version: {payload[0]}")
                return
            self.coordinates.update(node.name, peer, round_trip_ns / 1e9)
        except (self.context.codec.error, CoordinateError) as error:
            self.counters["coordinate_rejected"] += 1
            self._log(LogLevel.ERROR, f"Rejected coordinate from {node.name}: {error}")
            return
        self._ack_payload = b""
        if node.name in self.peer_coordinates or len(self.peer_coordinates) < MAX_KEPT_COORDINATES:
            self.peer_coordinates[node.name] = peer

    # --- intents ---

    def handle_leave_intent(self, message: LeaveIntent) -> bool:
        """Whether it is news to be passed on."""
        self.clock.witness(message.lamport_time)
        member = self.members.get(message.node)
        if member is None:
            return self._remember(message.node, True, message.lamport_time)
        if message.lamport_time <= member.status_time:
            return False
        if message.node == self.context.config.name and not self.leaving:
            self._log(LogLevel.DEBUG, "Refuting an older leave intent")
            self.broadcast_join()
            return False
        member = member._replace(status_time=message.lamport_time)
        if member.status is MemberStatus.ALIVE:
            member = member._replace(status=MemberStatus.LEAVING)
        elif member.status is MemberStatus.FAILED:
            member = member._replace(status=MemberStatus.LEFT)
            self.left[member.name] = self.failed.pop(member.name)
            self._log(LogLevel.INFO, f"EventMemberLeave (forced): {member.name} {member.node.host}")
            self._changed(MemberEventKind.LEAVE, member)
        self.members.put(member.name, member)
        if message.prune:
            self._prune(member)
        return True

    def handle_join_intent(self, message: JoinIntent) -> bool:
        """Whether it is news to be passed on."""
        self.clock.witness(message.lamport_time)
        member = self.members.get(message.node)
        if member is None:
            return self._remember(message.node, False, message.lamport_time)
        if message.lamport_time <= member.status_time:
            return False
        status = MemberStatus.ALIVE if member.status is MemberStatus.LEAVING else member.status
        self.members.put(member.name, member._replace(status=status, status_time=message.lamport_time))
        return True

    def _remember(self, name: str, leaves: bool, lamport_time: int) -> bool:
        known = self._intents.get(name)
        if known is not None and lamport_time <= known.lamport_time:
            return False
        if known is None and len(self._intents) >= MAX_RECENT_INTENTS:
            return False
        self._intents[name] = _RecentIntent(leaves, lamport_time, self.context.now_ns)
        return True

    def broadcast_join(self) -> None:
        """Tell the pool that we are here now, whatever was said before."""
        message = JoinIntent(self.clock.time, self.context.config.name)
        self.clock.witness(message.lamport_time)
        self.handle_join_intent(message)
        self._queue(self.intent_queue, message)

    def broadcast_leave(self, name: str, prune: bool, waiter: int = 0) -> None:
        """A leave intent for this node or, forced, for another. Raises NoSuchMember."""
        if name not in self.members:
            raise NoSuchMember(f"No node found with name '{name}'")
        message = LeaveIntent(self.clock.time, name, prune)
        self.clock.increment()
        self.handle_leave_intent(message)
        if self.swim.others_alive():
            self._queue(self.intent_queue, message, waiter)
        elif waiter:
            self.intent_queue.finished_waiters.append(waiter)

    def _prune(self, member: Member) -> None:
        config = self.context.config
        if member.status is MemberStatus.LEAVING:
            delay_ns = config.broadcast_timeout_ns + config.leave_propagate_delay_ns
            self.context.timers.set(self.context.now_ns + delay_ns, TimerKind.PRUNE, member.name)
        else:
            self.erase(member.name, " (forced)")

    def prune_due(self, name: str) -> None:
        """A member that was leaving when it was pruned; one that came back stays."""
        member = self.members.get(name)
        if member is not None and member.status is not MemberStatus.ALIVE:
            self.erase(name, " (forced)")

    def erase(self, name: str, why: str = "") -> None:
        """Forget a member altogether."""
        member = self.members.get(name)
        assert member is not None, "only a known member can be erased"
        self.members.remove(name)
        self.failed.pop(name, None)
        self.left.pop(name, None)
        self.coordinates.forget(name)
        self.peer_coordinates.pop(name, None)
        suffix = f" {member.node.host}" if why else ""
        self._log(LogLevel.INFO, f"EventMemberReap{why}: {name}{suffix}")
        self._changed(MemberEventKind.REAP, member)

    # --- housekeeping ---

    def reap(self) -> None:
        """Forget members that failed or left long ago, and intents that nobody came for."""
        config, now_ns = self.context.config, self.context.now_ns
        self.context.timers.set(now_ns + config.reap_interval_ns, TimerKind.REAP)
        for gone, timeout_ns in ((self.failed, config.reconnect_timeout_ns), (self.left, config.tombstone_timeout_ns)):
            for name in [name for name, since_ns in gone.items() if now_ns - since_ns > timeout_ns]:
                self.erase(name)
        oldest_ns = now_ns - config.recent_intent_timeout_ns
        for name in [name for name, intent in self._intents.items() if intent.heard_at_ns < oldest_ns]:
            del self._intents[name]

    def reconnect(self) -> None:
        """Now and then try a failed member, the more often the more of the pool has failed."""
        self.context.timers.set(self.context.now_ns + self.context.config.reconnect_interval_ns, TimerKind.RECONNECT)
        if not self.failed:
            return
        alive = max(1, len(self.members) - len(self.failed) - len(self.left))
        random = self.context.random
        if random.random() > len(self.failed) / alive:
            return
        name = random.choice(list(self.failed))
        member = self.members.get(name)
        assert member is not None, "a failed member is a member"
        node = member.node
        self._log(LogLevel.INFO, f"attempting reconnect to {name} {node.host}:{node.port}")
        self.context.effects.append(StartPushPull(name, Endpoint(node.host, node.port), True))

    def check_queues(self) -> None:
        """Keep the queues of a pool that cannot keep up from growing for ever."""
        config = self.context.config
        self.context.timers.set(self.context.now_ns + config.queue_check_interval_ns, TimerKind.QUEUE_CHECK)
        depth = max(config.min_queue_depth, 2 * len(self.members))
        for name, queue in (("Intent", self.intent_queue), ("Query", self.query_queue), ("Event", self.event_queue)):
            if dropped := queue.prune(depth):
                self._log(LogLevel.WARN, f"{name} queue is full: {dropped} broadcasts dropped")

    # --- user events ---

    def fire_event(self, name: str, payload: bytes, coalesce: bool) -> int:
        """Broadcasts an event and returns its Lamport time. Raises EventTooLarge."""
        limit_bytes = self.context.config.user_event_bytes
        size_bytes = len(name.encode()) + len(payload)
        if size_bytes > USER_EVENT_SANE_BYTES:
            raise EventTooLarge(f"user event exceeds sane limit of {USER_EVENT_SANE_BYTES} bytes before encoding")
        if size_bytes > limit_bytes:
            raise EventTooLarge(f"user event exceeds configured limit of {limit_bytes} bytes before encoding")
        event = UserEvent(self.events.clock.time, name, payload, coalesce)
        encoded = self.context.codec.encode(event)
        if len(encoded) > limit_bytes:
            raise EventTooLarge(f"encoded user event exceeds configured limit of {limit_bytes} bytes after encoding")
        self.events.clock.increment()
        self.handle_user_event(event)
        self.event_queue.queue(encoded)
        self.swim.arm_gossip()
        return event.lamport_time

    def handle_user_event(self, event: UserEvent) -> bool:
        """Delivers it if it is new; whether it is to be passed on."""
        if not self.events.maybe_add(event.lamport_time, (event.name, event.payload)):
            if self.events.is_too_old(event.lamport_time):
                self._log(
                    LogLevel.WARN,
                    f"received old event {event.name} from time {event.lamport_time} "
                    f"(current: {self.events.clock.time})",
                )
            return False
        self.counters["events"] += 1
        self.context.effects.append(UserEventReceived(event))
        return True

    # --- push/pull ---

    def local_state(self) -> SerfState:
        return SerfState(
            self.clock.time,
            self.events.clock.time,
            self.queries_seen.clock.time,
            {member.node.name: member.status_time for member in self.members.values()},
            tuple(self.left),
            tuple(EventSlot(time, tuple(items)) for time, items in self.events.slots()),
        )

    def merge_state(self, state: SerfState, ignore_old_events: bool) -> None:
        """`ignore_old_events`: those fired before the remote's present event time are not for us."""
        for clock, seen in (
            (self.clock, state.lamport_time),
            (self.events.clock, state.event_lamport_time),
            (self.queries_seen.clock, state.query_lamport_time),
        ):
            if seen > 0:
                clock.witness(seen - 1)
        left = frozenset(state.left_members)
        for name in state.left_members:
            self.handle_leave_intent(LeaveIntent(state.status_lamport_times.get(name, 0) + 1, name, False))
        get = self.members.get
        for name, lamport_time in state.status_lamport_times.items():
            known = get(name)
            if known is not None and lamport_time <= known.status_time:
                continue
            if name not in left:
                self.handle_join_intent(JoinIntent(lamport_time, name))
        if ignore_old_events:
            self.events.minimum_time = max(self.events.minimum_time, state.event_lamport_time)
        for slot in state.event_slots:
            for name, payload in slot.events:
                self.handle_user_event(UserEvent(slot.lamport_time, name, payload, False))

    # --- snapshot ---

    def snapshot_clocks(self) -> None:
        """Write how far the clocks are; called every half second while they move."""
        if self.snapshotter is None:
            return
        text = self.snapshotter.clocks(
            self.clock.time - 1, self.events.clock.time - 1, self.queries_seen.clock.time - 1
        )
        if text:
            self.context.effects.append(SnapshotAppend(text, False))
        self._maybe_compact()

    def snapshot_leave(self) -> None:
        if self.snapshotter is not None:
            self.context.effects.append(SnapshotAppend(self.snapshotter.leave(), True))

    def _changed(self, kind: MemberEventKind, member: Member) -> None:
        self.counters[kind.name.lower()] += 1
        self.context.effects.append(MemberChanged(kind, member))
        if self.snapshotter is None:
            return
        node = member.node
        if kind is MemberEventKind.JOIN:
            host = f"[{node.host}]" if ":" in node.host else node.host
            text = self.snapshotter.member_alive(node.name, f"{host}:{node.port}")
        elif kind in (MemberEventKind.LEAVE, MemberEventKind.FAILED):
            text = self.snapshotter.member_gone(node.name)
        else:
            return
        if text:
            self.context.effects.append(SnapshotAppend(text, False))
            self._maybe_compact()

    def _maybe_compact(self) -> None:
        assert self.snapshotter is not None
        whole = self.snapshotter.maybe_compact()
        if whole is not None:
            self.context.effects.append(SnapshotRewrite(whole))

    # --- broadcasting ---

    def _queue(self, queue: BroadcastQueue, message: SerfMessage, waiter: int = 0) -> None:
        queue.queue(self.context.codec.encode(message), "", waiter)
        self.swim.arm_gossip()

    def pass_on(self, message: SerfMessage, raw: bytes) -> None:
        """Re-broadcast a received message as it came."""
        if isinstance(message, UserEvent):
            queue = self.event_queue
        elif isinstance(message, Query):
            queue = self.query_queue
        else:
            queue = self.intent_queue
        queue.queue(raw)
        self.swim.arm_gossip()

    def _log(self, level: LogLevel, text: str) -> None:
        self.context.log(level, "serf", f"serf: {text}")
