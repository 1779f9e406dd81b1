"""SWIM membership as memberlist runs it: who is alive, suspect, dead or left, and the rumours about it.

Rules kept here (memberlist wire notes 9):
* suspect and dead about an older incarnation are ignored, alive about the same or an older one, too;
* only a node itself raises its incarnation, to refute what is said about it while it runs;
* an alive message with another address for a known name is a conflict, unless that node left or is long dead;
* a node that declares itself dead has left.
"""

from collections import Counter
from typing import Protocol

from gossipd.core.address import is_usable, to_text
from gossipd.core.awareness import Awareness
from gossipd.core.broadcasts import BroadcastQueue
from gossipd.core.context import Context
from gossipd.core.effects import Endpoint, LogLevel, SendPacket
from gossipd.core.formulas import suspicion_min_ns
from gossipd.core.messages import Alive, Dead, Message, Suspect
from gossipd.core.node import VERSION_COUNT, Node, NodeState
from gossipd.core.roster import ProbeRing, RosterLike, draw_distinct
from gossipd.core.suspicion import Suspicion
from gossipd.core.timers import TimerKind

MAX_INCARNATION = 2**32 - 1
MAX_MEMBERS = 100_000
COMPOUND_HEADER_BYTES = 2
COMPOUND_PART_BYTES = 2
USER_TYPE = b"\x08"


class SwimListener(Protocol):
    """What the layer above (Serf) is told and asked."""

    def check_alive(self, node: Node) -> str | None:
        """Why this node may not be in the pool; None when it may."""

    def node_joined(self, node: Node) -> None: ...

    def node_left(self, node: Node) -> None: ...

    def node_updated(self, node: Node) -> None: ...

    def name_conflict(self, known: Node, address: bytes, port: int) -> None: ...

    def take_broadcasts(self, overhead_bytes: int, limit_bytes: int) -> list[bytes]: ...

    def has_broadcasts(self) -> bool: ...

    def has_left(self, name: str) -> bool:
        """Whether the member is gone for good: it left, or was made to."""
        ...


class Swim:
    """One node's view of the pool. `listener` must be set before `start`."""

    listener: SwimListener

    def __init__(self, context: Context, nodes: RosterLike[Node], ring: ProbeRing) -> None:
        self.context = context
        self.nodes = nodes
        self.ring = ring
        self.queue = BroadcastQueue(context.config.retransmit_mult)
        self.awareness = Awareness(context.config.awareness_max_multiplier)
        self.incarnation = 0
        self.leaving = False
        self.counters: Counter[str] = Counter()
        """Messages by kind, taken to be true or not, and probes by a node that is not well."""
        self.suspicions: dict[str, Suspicion] = {}
        # How many live nodes speak which versions: a merge compares with these, not with every node.
        self.alive_versions: Counter[bytes] = Counter()
        self._next_token = 0
        self._gossip_phase_ns = context.now_ns + int(context.random.random() * context.config.gossip_interval_ns)
        self._gossip_armed = False

    # --- this node ---

    @property
    def local(self) -> Node:
        node = self.nodes.get(self.context.config.name)
        assert node is not None, "the local node is always known"
        return node

    def start(self, meta: bytes) -> None:
        """Become a member of a pool of one."""
        self._announce(meta)

    def set_meta(self, meta: bytes) -> None:
        """Publish other metadata under a new incarnation."""
        self._announce(meta)

    def _announce(self, meta: bytes) -> None:
        config = self.context.config
        self.incarnation += 1
        alive = Alive(self.incarnation, config.name, config.address, config.port, meta, config.versions)
        self.handle_alive(alive, own=True)

    def declare_left(self, waiter: int) -> None:
        """Tell the pool that this node has left on its own will."""
        self.leaving = True
        local = self.local
        self.handle_dead(Dead(local.incarnation, local.name, local.name), waiter)

    def others_alive(self) -> bool:
        name = self.context.config.name
        return any(not node.is_dead_or_left and node.name != name for node in self.nodes.values())

    # --- rumours coming in ---

    def handle_alive(self, message: Alive, own: bool = False) -> None:
        """`own` marks what this node says of itself."""
        self.counters["alive"] += 1
        context = self.context
        is_local = message.node == context.config.name
        if self.leaving and is_local:
            return
        known = self.nodes.get(message.node)
        is_old = known is not None and not is_local and message.incarnation <= known.incarnation
        if is_old and known is not None and known.address == message.address and known.port == message.port:
            return
        if known is not None and is_local and not own and message.incarnation < known.incarnation:
            return
        candidate = Node(
            message.node,
            message.address,
            to_text(message.address),
            message.port,
            message.meta,
            message.versions,
            message.incarnation,
            NodeState.ALIVE,
            context.now_ns,
        )
        if not own and (refusal := self._refusal(candidate)) is not None:
            self._log(LogLevel.WARN, f"ignoring alive message for '{message.node}': {refusal}")
            return
        moves = False
        if known is None:
            if len(self.nodes) >= MAX_MEMBERS:
                self._log(LogLevel.WARN, f"ignoring alive message for '{message.node}': the pool is full")
                return
        elif known.address != message.address or known.port != message.port:
            if not self._may_move(known):
                self._conflict(known, candidate)
                return
            self._log(
                LogLevel.INFO,
                f"Updating address for left or failed node {known.name} from {known.host}:{known.port} "
                f"to {candidate.host}:{candidate.port}",
            )
            moves = True
        if is_old and not moves:
            return
        self.suspicions.pop(message.node, None)
        if is_local and not own:
            assert known is not None
            self._maybe_refute_alive(known, candidate)
            return
        self.broadcast(message.node, message)
        if known is not None and known.state is NodeState.ALIVE:
            candidate = candidate._replace(changed_at_ns=known.changed_at_ns)
        self._put(known, candidate)
        if known is None:
            self.ring.add(message.node, context.random)
        if known is None or known.is_dead_or_left:
            self.listener.node_joined(candidate)
        elif known.meta != candidate.meta:
            self.listener.node_updated(candidate)

    def _refusal(self, candidate: Node) -> str | None:
        if len(candidate.versions) != VERSION_COUNT:
            return f"Vsn has {len(candidate.versions)} bytes instead of {VERSION_COUNT}"
        if not is_usable(candidate.address):
            return f"IP byte length is invalid: {len(candidate.address)} bytes is not either 4 or 16"
        return self.listener.check_alive(candidate)

    def _may_move(self, known: Node) -> bool:
        """Whether another address may take the name: of one that is gone for good at once, else of one long dead."""
        reclaim_ns = self.context.config.dead_node_reclaim_ns
        long_dead = reclaim_ns > 0 and self.context.now_ns - known.changed_at_ns > reclaim_ns
        if known.state is NodeState.DEAD:
            return long_dead or self.listener.has_left(known.name)
        return known.state is NodeState.LEFT

    def _conflict(self, known: Node, other: Node) -> None:
        self._log(
            LogLevel.ERROR,
            f"Conflicting address for {known.name}. Mine: {known.host}:{known.port} "
            f"Theirs: {other.host}:{other.port} Old state: {int(known.state)}",
        )
        self.listener.name_conflict(known, other.address, other.port)

    def _maybe_refute_alive(self, known: Node, other: Node) -> None:
        same = known.meta == other.meta and known.versions == other.versions
        if other.incarnation == known.incarnation and same:
            return
        self._refute(known, other.incarnation)
        self._log(
            LogLevel.WARN,
            f"Refuting an alive message for '{other.name}' ({other.host}:{other.port}) meta:({known.meta!r} VS "
            f"{other.meta!r}), vsn:({list(known.versions)} VS {list(other.versions)})",
        )

    def handle_suspect(self, message: Suspect) -> None:
        self.counters["suspect"] += 1
        known = self.nodes.get(message.node)
        if known is None or message.incarnation < known.incarnation:
            return
        suspicion = self.suspicions.get(message.node)
        if suspicion is not None:
            if suspicion.maybe_confirm(message.sender):
                self.broadcast(message.node, message)
                self._arm(message.node, suspicion)
            return
        if known.state is not NodeState.ALIVE:
            return
        if known.name == self.context.config.name:
            self._refute(known, message.incarnation)
            self._log(LogLevel.WARN, f"Refuting a suspect message (from: {message.sender})")
            return
        self.broadcast(message.node, message)
        self._put(
            known,
            known._replace(incarnation=message.incarnation, state=NodeState.SUSPECT, changed_at_ns=self.context.now_ns),
        )
        self._suspect(message)

    def _suspect(self, message: Suspect) -> None:
        config = self.context.config
        node_count = len(self.nodes)
        expected = config.suspicion_mult - 2
        if node_count - 2 < expected:
            expected = 0
        min_ns = suspicion_min_ns(config.suspicion_mult, node_count, config.probe_interval_ns)
        max_ns = config.suspicion_max_timeout_mult * min_ns
        suspicion = Suspicion(message.sender, expected, min_ns, max_ns, self.context.now_ns, 0)
        self.suspicions[message.node] = suspicion
        self._arm(message.node, suspicion)

    def _arm(self, name: str, suspicion: Suspicion) -> None:
        self._next_token += 1
        suspicion.token = self._next_token
        self.context.timers.set(suspicion.due_ns, TimerKind.SUSPICION, name, suspicion.token)

    def suspicion_due(self, name: str, token: int) -> None:
        """A suspicion's timer fired."""
        suspicion = self.suspicions.get(name)
        if suspicion is None or suspicion.token != token:
            return
        node = self.nodes.get(name)
        if node is None or node.state is not NodeState.SUSPECT:
            del self.suspicions[name]
            return
        self._log(
            LogLevel.INFO,
            f"Marking {name} as failed, suspect timeout reached ({suspicion.confirmations} peer confirmations)",
        )
        self.handle_dead(Dead(node.incarnation, name, self.context.config.name))

    def handle_dead(self, message: Dead, waiter: int = 0) -> None:
        self.counters["dead"] += 1
        known = self.nodes.get(message.node)
        if known is None or message.incarnation < known.incarnation:
            return
        self.suspicions.pop(message.node, None)
        if known.is_dead_or_left:
            return
        if known.name == self.context.config.name and not self.leaving:
            self._refute(known, message.incarnation)
            self._log(LogLevel.WARN, f"Refuting a dead message (from: {message.sender})")
            return
        self.broadcast(message.node, message, waiter)
        state = NodeState.LEFT if message.node == message.sender else NodeState.DEAD
        gone = known._replace(incarnation=message.incarnation, state=state, changed_at_ns=self.context.now_ns)
        self._put(known, gone)
        self.listener.node_left(gone)

    def _refute(self, local: Node, accused_incarnation: int) -> None:
        self.incarnation = min(MAX_INCARNATION, max(self.incarnation, accused_incarnation) + 1)
        self.awareness.apply(1)
        refreshed = local._replace(incarnation=self.incarnation)
        self._put(local, refreshed)
        self.broadcast(
            local.name,
            Alive(self.incarnation, local.name, local.address, local.port, local.meta, local.versions),
        )

    def _put(self, old: Node | None, new: Node) -> None:
        if old is not None and not old.is_dead_or_left:
            self.alive_versions[old.versions] -= 1
        if not new.is_dead_or_left:
            self.alive_versions[new.versions] += 1
        self.nodes.put(new.name, new)

    # --- a round of probing ends ---

    def forget_gone(self) -> None:
        """Drop nodes that have been dead for long, and begin a new round of the probe ring."""
        limit_ns = self.context.now_ns - self.context.config.gossip_to_the_dead_ns
        gone = [node.name for node in self.nodes.values() if node.is_dead_or_left and node.changed_at_ns < limit_ns]
        for name in gone:
            if name != self.context.config.name:
                self.nodes.remove(name)
        self.ring.restart(self.nodes, self.context.random)

    # --- rumours going out ---

    def broadcast(self, subject: str, message: Message, waiter: int = 0) -> None:
        self.queue.queue(self.context.codec.encode(message), subject, waiter)
        self.arm_gossip()

    def arm_gossip(self) -> None:
        """Gossip ticks only while there is something to tell, at this node's own phase."""
        if self._gossip_armed:
            return
        self._gossip_armed = True
        interval_ns = self.context.config.gossip_interval_ns
        passed = (self.context.now_ns - self._gossip_phase_ns) // interval_ns
        self.context.timers.set(self._gossip_phase_ns + (passed + 1) * interval_ns, TimerKind.GOSSIP)

    def gossip_due(self) -> None:
        """Tell a few random nodes the rumours."""
        self._gossip_armed = False
        self.counters["gossip"] += 1
        config = self.context.config
        room_bytes = config.packet_bytes - COMPOUND_HEADER_BYTES - config.sealing_overhead_bytes
        for node in draw_distinct(self.nodes, config.gossip_nodes, self._gossips_with, self.context.random):
            parts = self.take_broadcasts(room_bytes)
            if not parts:
                return
            self.context.effects.append(SendPacket(Endpoint(node.host, node.port), tuple(parts), True))
        if len(self.queue) or self.listener.has_broadcasts():
            self.arm_gossip()

    def _gossips_with(self, node: Node) -> bool:
        if node.name == self.context.config.name:
            return False
        if node.state is NodeState.DEAD:
            return self.context.now_ns - node.changed_at_ns <= self.context.config.gossip_to_the_dead_ns
        return node.state is not NodeState.LEFT

    def take_broadcasts(self, room_bytes: int) -> list[bytes]:
        """Rumours that fit into the room left in a packet: this layer's first, then Serf's."""
        parts = self.queue.take(COMPOUND_PART_BYTES, room_bytes, len(self.nodes))
        room_bytes -= sum(map(len, parts)) + COMPOUND_PART_BYTES * len(parts)
        overhead_bytes = COMPOUND_PART_BYTES + len(USER_TYPE)
        if room_bytes > overhead_bytes:
            parts += [USER_TYPE + body for body in self.listener.take_broadcasts(overhead_bytes, room_bytes)]
        return parts

    def send(self, to: tuple[str, int], message: Message) -> None:
        """Send a message with as many rumours as fit behind it."""
        first = self.context.codec.encode(message)
        config = self.context.config
        room_bytes = config.packet_bytes - len(first) - COMPOUND_HEADER_BYTES - config.sealing_overhead_bytes
        self.context.effects.append(SendPacket(to, (first, *self.take_broadcasts(room_bytes)), False))

    def _log(self, level: LogLevel, text: str) -> None:
        self.context.log(level, "memberlist", f"memberlist: {text}")
