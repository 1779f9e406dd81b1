"""Serf queries: a question to the pool, answers straight back to whoever asked, optionally over relays."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gossipd.core.address import is_usable, to_text
from gossipd.core.context import Context
from gossipd.core.effects import (
    Endpoint,
    LogLevel,
    QueryAnswered,
    QueryFinished,
    QueryReceived,
    SendPacket,
)
from gossipd.core.errors import EventTooLarge, PoolError
from gossipd.core.formulas import query_timeout_ns
from gossipd.core.keys import KeyAnswers
from gossipd.core.member import Member, MemberStatus
from gossipd.core.messages import (
    FLAG_ACK,
    FLAG_NO_BROADCAST,
    Query,
    QueryResponse,
    Relay,
)
from gossipd.core.roster import draw_distinct
from gossipd.core.serf import Serf
from gossipd.core.swim import USER_TYPE
from gossipd.core.timers import TimerKind

RELAY_PROTOCOL = 5
INTERNAL_PREFIX = "_serf_"
MAX_OPEN_QUERIES = 1024

QueryKey = tuple[int, int]


@dataclass(slots=True)
class _OpenQuery:
    acked: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)


class Queries:
    """Both sides of queries: asking and answering."""

    def __init__(self, context: Context, serf: Serf, keys: KeyAnswers) -> None:
        self.context = context
        self.serf = serf
        self.keys = keys
        self._open: dict[QueryKey, _OpenQuery] = {}

    # --- asking ---

    def default_timeout_ns(self) -> int:
        config = self.context.config
        return query_timeout_ns(config.gossip_interval_ns, config.query_timeout_mult, len(self.serf.swim.nodes))

    def ask(
        self,
        name: str,
        payload: bytes,
        filters: Sequence[bytes] = (),
        relay_factor: int = 0,
        acks: bool = False,
        timeout_ns: int = 0,
    ) -> QueryKey:
        """Asks the pool, this node included; answers come as effects. Raises PoolError when it is too large."""
        config = self.context.config
        if len(self._open) >= MAX_OPEN_QUERIES:
            raise PoolError(f"{MAX_OPEN_QUERIES} queries are open already")
        timeout_ns = timeout_ns or self.default_timeout_ns()
        query = Query(
            self.serf.queries_seen.clock.time,
            self.context.random.getrandbits(32),
            config.address,
            config.port,
            tuple(filters),
            FLAG_ACK if acks else 0,
            relay_factor,
            timeout_ns,
            name,
            payload,
        )
        encoded = self.context.codec.encode(query)
        if len(encoded) > config.query_bytes:
            raise EventTooLarge(f"query exceeds limit of {config.query_bytes} bytes")
        key = (query.lamport_time, query.identifier)
        self._open[key] = _OpenQuery()
        self.context.timers.set(
            self.context.now_ns + timeout_ns, TimerKind.QUERY, str(query.lamport_time), query.identifier
        )
        self.handle_query(query)
        self.serf.pass_on(query, encoded)
        return key

    def close(self, key: QueryKey) -> None:
        """Stop waiting for answers."""
        if self._open.pop(key, None) is not None:
            self.context.effects.append(QueryFinished(key))

    def handle_response(self, message: QueryResponse) -> None:
        key = (message.lamport_time, message.identifier)
        query = self._open.get(key)
        if query is None:
            text = f"reply for non-running query (LTime: {key[0]}, ID: {key[1]}) From: {message.sender}"
            self._log(LogLevel.DEBUG, text)
            return
        is_ack = bool(message.flags & FLAG_ACK)
        seen = query.acked if is_ack else query.answered
        if message.sender in seen:
            self.serf.counters["query_duplicate_acks" if is_ack else "query_duplicate_responses"] += 1
            return
        seen.add(message.sender)
        self.serf.counters["query_acks" if is_ack else "query_responses"] += 1
        self.context.effects.append(QueryAnswered(key, message.sender, message.payload, is_ack))

    # --- answering ---

    def handle_query(self, message: Query) -> bool:
        """Answers it if it is new and meant for us; whether it is to be passed on."""
        if not self.serf.queries_seen.maybe_add(message.lamport_time, message.identifier):
            return False
        self.serf.counters["queries"] += 1
        pass_on = not message.flags & FLAG_NO_BROADCAST
        if not self._is_meant(message) or not is_usable(message.address):
            return pass_on
        if message.flags & FLAG_ACK:
            self._send(message, QueryResponse(message.lamport_time, message.identifier, self._name, FLAG_ACK, b""))
        if message.name.startswith(INTERNAL_PREFIX):
            self._answer_internally(message)
        else:
            deadline_ns = self.context.now_ns + message.timeout_ns
            self.context.effects.append(QueryReceived(message, deadline_ns))
        return pass_on

    def respond(self, query: Query, payload: bytes, deadline_ns: int) -> None:
        """Answers a query. Raises PoolError when it is too late or too long."""
        if self.context.now_ns > deadline_ns:
            raise PoolError("response is past the deadline")
        response = QueryResponse(query.lamport_time, query.identifier, self._name, 0, payload)
        limit_bytes = self.context.config.query_response_bytes
        if len(self.context.codec.encode(response)) > limit_bytes:
            raise EventTooLarge(f"response exceeds limit of {limit_bytes} bytes")
        self._send(query, response)

    @property
    def _name(self) -> str:
        return self.context.config.name

    def _is_meant(self, message: Query) -> bool:
        own = self.serf.members.get(self._name)
        tags = own.tags if own else {}
        try:
            return all(self.context.codec.filter_matches(part, self._name, tags) for part in message.filters)
        except self.context.codec.error as error:
            self._log(LogLevel.WARN, f"failed to decode a filter of query '{message.name}': {error}")
            return False

    def _answer_internally(self, message: Query) -> None:
        kind = message.name.removeprefix(INTERNAL_PREFIX)
        if kind == "ping":
            return
        if kind == "conflict":
            name = message.payload.decode(errors="replace")
            if name == self._name:
                return
            answer = self.context.codec.encode_conflict_response(self.serf.members.get(name))
        else:
            answered = self.keys.answer(kind, message)
            if answered is None:
                self._log(LogLevel.WARN, f"Unhandled internal query '{message.name}'")
                return
            answer = answered
        try:
            self.respond(message, answer, self.context.now_ns)
        except PoolError as error:
            self._log(LogLevel.ERROR, f"Failed to respond to query '{message.name}': {error}")

    def _send(self, query: Query, response: QueryResponse) -> None:
        """Straight back, and on request also through random members, should the direct way be blocked."""
        encoded = self.context.codec.encode(response)
        self._send_user(query.address, query.port, encoded)
        if not query.relay_factor or len(self.serf.members) < query.relay_factor + 1:
            return
        relay = self.context.codec.encode(Relay(query.address, query.port, encoded))
        if len(relay) > self.context.config.query_response_bytes:
            self._log(LogLevel.ERROR, f"relayed response to '{query.name}' exceeds the size limit")
            return
        for member in draw_distinct(self.serf.members, query.relay_factor, self._can_relay, self.context.random):
            self._send_user(member.node.address, member.node.port, relay)

    def _can_relay(self, member: Member) -> bool:
        return (
            member.status is MemberStatus.ALIVE
            and member.node.protocol_max >= RELAY_PROTOCOL
            and member.name != self._name
        )

    def handle_relay(self, message: Relay) -> None:
        if is_usable(message.address):
            self._send_user(message.address, message.port, message.inner)

    def _send_user(self, address: bytes, port: int, body: bytes) -> None:
        self.context.effects.append(SendPacket(Endpoint(to_text(address), port), (USER_TYPE + body,), False))

    def _log(self, level: LogLevel, text: str) -> None:
        self.context.log(level, "serf", f"serf: {text}")
