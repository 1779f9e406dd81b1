"""Carries one pool's effects out and feeds it what the network and the clock say."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from gossipd import files, metrics
from gossipd.addresses import AddressError, dial_error, join_host_port, resolve, split_address
from gossipd.core.config import PoolConfig
from gossipd.core.effects import (
    BroadcastFinished,
    Endpoint,
    KeyringChanged,
    LeaveFinished,
    Log,
    MemberChanged,
    QueryAnswered,
    QueryFinished,
    QueryReceived,
    SendPacket,
    SnapshotAppend,
    SnapshotRewrite,
    StartPushPull,
    StartStreamPing,
    UserEventReceived,
)
from gossipd.core.errors import MergeRefused
from gossipd.core.keyring import Keyring
from gossipd.core.member import Member, MemberStatus
from gossipd.core.messages import Ack, Ping, PushPull, UserEvent
from gossipd.core.policy import Policy
from gossipd.core.pool import Pool
from gossipd.core.queries import QueryKey
from gossipd.core.snapshot import SnapshotState, Snapshotter
from gossipd.transport import Stream, StreamFailed, Transport, open_stream
from gossipd.wire.codec import WireCodec
from gossipd.wire.crypto import OVERHEAD_BYTES
from gossipd.wire.errors import ProtocolError
from gossipd.wire.packet import open_packet, seal
from gossipd.wire.push_pull import NodeEncodings, encode_push_pull
from gossipd.wire.security import Security
from gossipd.wire.stream import (
    RemoteError,
    StreamMessage,
    StreamUser,
    decode_stream,
    encode_error,
    seal_stream,
)
from gossipd.wire.swim import encode_ack, encode_ping
from lictor.telemetry import Sample

MAX_TIMER_S = 3600.0
LEAVE_MARGIN_S = 2.0

MemberListener = Callable[[MemberChanged], None]
EventListener = Callable[[UserEvent], None]
QueryListener = Callable[[QueryReceived], None]


@dataclass(frozen=True, slots=True)
class PoolSetup:
    """All that a pool's driver is started with. `log_suffix` is "lan" or "wan"."""

    config: PoolConfig
    bind: str
    port: int
    policy: Policy
    tags: dict[str, str]
    log_prefix: str
    log_suffix: str
    snapshot_path: Path | None = None
    keyring_path: Path | None = None
    keyring: Keyring = field(default_factory=Keyring)
    verify_incoming: bool = True
    verify_outgoing: bool = True
    compression: bool = True


@dataclass(slots=True)
class QueryAnswers:
    """What came back for a query of ours."""

    acks: set[str] = field(default_factory=set)
    payloads: dict[str, bytes] = field(default_factory=dict)


class PoolDriver:
    """One pool on the running loop. Everything happens on that loop's thread."""

    def __init__(self, setup: PoolSetup, random: Random, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.setup = setup
        self._clock_ns = clock_ns
        self._random = random
        self._logs = {
            layer: logging.getLogger(f"{setup.log_prefix}.{layer}.{setup.log_suffix}")
            for layer in ("memberlist", "serf")
        }
        self._security = Security(setup.keyring.keys, setup.verify_incoming, setup.verify_outgoing)
        self._snapshot = files.SnapshotFile(setup.snapshot_path) if setup.snapshot_path else None
        self._previous: dict[str, str] = {}
        config = replace(setup.config, sealing_overhead_bytes=OVERHEAD_BYTES if setup.keyring.keys else 0)
        self._config = config
        self._encodings = NodeEncodings()
        stream_timeout_s = config.stream_timeout_ns / 1e9
        self._stream_timeout_s = stream_timeout_s
        self._transport = Transport(self._on_packet, self._on_stream, stream_timeout_s, self._logs["memberlist"])
        self._pool: Pool | None = None
        self._metrics: metrics.PoolMetrics | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_ns = 0
        self._stopped = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiters: dict[int, asyncio.Future[None]] = {}
        self._queries: dict[QueryKey, tuple[QueryAnswers, int, asyncio.Future[None]]] = {}
        self._left: asyncio.Future[None] | None = None
        self.tags = dict(setup.tags)
        self.member_listeners: list[MemberListener] = []
        self.event_listeners: list[EventListener] = []
        self.query_listeners: list[QueryListener] = []

    # --- life ---

    @property
    def pool(self) -> Pool:
        assert self._pool is not None, "started"
        return self._pool

    @property
    def port(self) -> int:
        return self._transport.port

    async def start(self) -> None:
        """Bind, be a pool of one, and rejoin whom the snapshot knows. Raises BindError, OSError."""
        snapshotter = self._open_snapshot()
        await self._transport.start(self.setup.bind, self.setup.port)
        if not self._config.port:
            self._config = replace(self._config, port=self._transport.port)
        self._pool = Pool(
            self._config,
            WireCodec(),
            self.setup.policy,
            self._random,
            self._clock_ns(),
            self.setup.keyring,
            snapshotter,
        )
        self._metrics = metrics.PoolMetrics(self.pool)
        self._metrics.start()
        self.pool.start(self.tags, self._clock_ns())
        self._settle()
        if self._previous:
            self._spawn(self._rejoin())

    def _open_snapshot(self) -> Snapshotter | None:
        if self._snapshot is None:
            return None
        text = self._snapshot.read()
        state = SnapshotState()
        for line in state.replay(text, self._config.rejoin_after_leave):
            self._logs["serf"].warning("serf: Unrecognized snapshot line: %s", line[:200])
        self._previous = {name: address for name, address in state.alive.items() if name != self._config.name}
        self._snapshot.open()
        if text and not text.endswith("\n"):
            # A crash tore the last line: what is appended must not stick to it.
            self._snapshot.append("\n", flush=False)
        state.alive.clear()
        state.alive.update(self._previous)
        return Snapshotter(state, len(text), self._config.rejoin_after_leave)

    async def stop(self) -> None:
        """Stop at once, without a word to the pool."""
        self._stopped = True
        if self._metrics is not None:
            self._metrics.stop()
        if self._timer is not None:
            self._timer.cancel()
        await self._transport.stop()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._snapshot is not None:
            self._snapshot.close()

    async def leave(self) -> None:
        """Leave gracefully; returns when the leave has spread or its time is over."""
        if self._left is None:
            self._left = asyncio.get_running_loop().create_future()
            self.pool.leave(self._clock_ns())
            self._settle()
        config = self._config
        limit_s = (2 * config.broadcast_timeout_ns + config.leave_propagate_delay_ns) / 1e9 + LEAVE_MARGIN_S
        await asyncio.wait((self._left,), timeout=limit_s)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._logs["memberlist"].error("memberlist: background work failed", exc_info=error)

    # --- effects ---

    def _settle(self) -> None:
        """Carry out what the pool wants, until it wants nothing more; then sleep until its next timer."""
        while effects := self.pool.take_effects():
            for effect in effects:
                kind = type(effect)
                if kind is SendPacket:
                    self._send(effect)  # type: ignore[arg-type]
                else:
                    self._carry_out(effect)
        wake_at_ns = self.pool.wake_at_ns
        if self._stopped or (self._timer is not None and self._armed_ns == wake_at_ns):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_ns = wake_at_ns
        delay_s = (wake_at_ns - self._clock_ns()) / 1e9
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(max(delay_s, 0.0), MAX_TIMER_S), self._tick)

    def _tick(self) -> None:
        self._timer = None
        started_s, rounds = time.perf_counter(), self.pool.swim.counters["gossip"]
        self.pool.tick(self._clock_ns())
        self._settle()
        if self.pool.swim.counters["gossip"] != rounds:
            metrics.GOSSIP_ROUNDS.since(started_s)

    def _send(self, effect: SendPacket) -> None:
        data = seal(effect.parts, self._security, effect.crc, self.setup.compression)
        try:
            self._transport.send(data, effect.to)
        except (OSError, ValueError) as error:
            self._logs["memberlist"].error(
                "memberlist: Failed to send UDP packet to %s: %s", join_host_port(*effect.to), error
            )

    def _carry_out(self, effect: object) -> None:
        match effect:
            case Log(level, layer, text):
                self._logs[layer].log(level, "%s", text)
            case StartStreamPing():
                self._spawn(self._stream_ping(effect))
            case StartPushPull(node, to, join):
                self._spawn(self._background_push_pull(node, to, join))
            case MemberChanged():
                for member_listener in tuple(self.member_listeners):
                    member_listener(effect)
            case UserEventReceived(event):
                metrics.user_event(event.name)
                for event_listener in tuple(self.event_listeners):
                    event_listener(event)
            case QueryReceived():
                metrics.query(effect.query.name)
                for query_listener in tuple(self.query_listeners):
                    query_listener(effect)
            case QueryAnswered():
                self._answered(effect)
            case QueryFinished(key):
                if (query := self._queries.get(key)) and not query[2].done():
                    query[2].set_result(None)
            case BroadcastFinished(waiter):
                if (future := self._waiters.get(waiter)) and not future.done():
                    future.set_result(None)
            case LeaveFinished():
                if self._left is not None and not self._left.done():
                    self._left.set_result(None)
            case KeyringChanged(keys):
                self._security = replace(self._security, keys=keys)
                if self.setup.keyring_path is not None:
                    files.save_keyring(self.setup.keyring_path, keys)
            case SnapshotAppend(text, flush):
                self._write_snapshot(lambda file: file.append(text, flush), metrics.SNAPSHOT_APPENDS)
            case SnapshotRewrite(text):
                self._write_snapshot(lambda file: file.rewrite(text), metrics.SNAPSHOT_REWRITES)
            case _:
                raise AssertionError(f"unknown effect {effect!r}")

    def _write_snapshot(self, write: Callable[[files.SnapshotFile], None], durations: Sample) -> None:
        assert self._snapshot is not None
        started_s = time.perf_counter()
        try:
            write(self._snapshot)
            durations.since(started_s)
        except OSError as error:
            # A full disk must not stop gossip: the snapshot only speeds up the next start.
            self._logs["serf"].error("serf: Failed to update snapshot: %s", error)

    # --- packets ---

    def _on_packet(self, data: bytes, source: tuple[str, int]) -> None:
        try:
            opened = open_packet(data, self._security)
        except ProtocolError as error:
            self._logs["memberlist"].error("memberlist: %s from=%s", error, join_host_port(*source))
            return
        for text in opened.errors:
            self._logs["memberlist"].warning("memberlist: %s from=%s", text, join_host_port(*source))
        if self._pool is None:
            return
        self.pool.receive(opened.messages, source, self._clock_ns())
        self._settle()

    # --- streams ---

    async def _on_stream(self, stream: Stream) -> None:
        log = self._logs["memberlist"]
        peer = join_host_port(*stream.peer)
        try:
            data = await stream.read_message(self._security)
            if data is None:
                return
            message = self._decode_stream(data)
        except ProtocolError as error:
            log.error("memberlist: failed to receive: %s from=%s", error, peer)
            await stream.write(seal_stream(encode_error(str(error)), self._security, self.setup.compression))
            return
        match message:
            case PushPull():
                log.debug("memberlist: Stream connection from=%s", peer)
                await stream.write(self._own_view(message.join))
                self._merge(message, peer)
            case Ping(sequence, node):
                if node and node != self._config.name:
                    log.warning("memberlist: Got ping for unexpected node %s from=%s", node, peer)
                    return
                await stream.write(seal_stream(encode_ack(Ack(sequence, b"")), self._security, self.setup.compression))
            case StreamUser(inner, raw):
                self.pool.receive([(inner, raw)], stream.peer, self._clock_ns())
                self._settle()
            case _:
                log.error("memberlist: unexpected %s on a stream from=%s", type(message).__name__, peer)

    def _decode_stream(self, data: bytes) -> StreamMessage:
        self._encodings.retain(list(self.pool.swim.nodes.values()))
        return decode_stream(data, self._encodings.alive)

    def _own_view(self, join: bool) -> bytes:
        view = self.pool.push_pull(join)
        assert view.serf is not None
        message = encode_push_pull(join, view.nodes, view.serf, self._encodings)
        return seal_stream(message, self._security, self.setup.compression)

    def _merge(self, remote: PushPull, peer: str) -> None:
        try:
            self._merge_or_raise(remote)
        except MergeRefused as error:
            self._logs["memberlist"].error("memberlist: Failed push/pull merge: %s from=%s", error, peer)

    def _merge_or_raise(self, remote: PushPull, ignore_old_events: bool = False) -> None:
        try:
            self.pool.merge(remote, self._clock_ns(), ignore_old_events)
        finally:
            self._settle()

    async def _ask_over_stream(self, to: tuple[str, int], request: bytes, timeout_s: float) -> StreamMessage:
        """Raises StreamFailed."""
        try:
            async with asyncio.timeout(timeout_s):
                stream = await open_stream(*to)
                try:
                    await stream.write(request)
                    data = await stream.read_message(self._security)
                finally:
                    stream.close()
            if data is None:
                raise StreamFailed("EOF")
            answer = self._decode_stream(data)
        except (TimeoutError, OSError) as error:
            raise StreamFailed(dial_error(*to, error)) from error
        except ProtocolError as error:
            raise StreamFailed(str(error)) from error
        if isinstance(answer, RemoteError):
            raise StreamFailed(f"remote error: {answer.text}")
        return answer

    async def _stream_ping(self, effect: StartStreamPing) -> None:
        timeout_s = (effect.deadline_ns - self._clock_ns()) / 1e9
        request = seal_stream(encode_ping(Ping(effect.sequence, effect.node)), self._security, self.setup.compression)
        try:
            answer = await self._ask_over_stream(effect.to, request, max(timeout_s, 0.0))
        except StreamFailed as error:
            self._logs["memberlist"].debug("memberlist: Failed fallback ping: %s", error)
            return
        worked = isinstance(answer, Ack) and answer.sequence == effect.sequence
        self.pool.stream_ping_done(effect.sequence, worked, self._clock_ns())
        self._settle()

    async def _push_pull(self, to: tuple[str, int], join: bool, ignore_old_events: bool = False) -> None:
        """Exchange views with one node. Raises StreamFailed, MergeRefused."""
        self._logs["memberlist"].debug("memberlist: Initiating push/pull sync with: %s", join_host_port(*to))
        started_s = time.perf_counter()
        answer = await self._ask_over_stream(to, self._own_view(join), self._stream_timeout_s)
        metrics.PUSH_PULLS.since(started_s)
        if not isinstance(answer, PushPull):
            raise StreamFailed(f"received invalid msgType, expected pushPull, got {type(answer).__name__}")
        # The responder echoes the flag, but what counts here is what we asked for.
        self._merge_or_raise(answer._replace(join=join), ignore_old_events)

    async def _background_push_pull(self, node: str, to: tuple[str, int], join: bool) -> None:
        try:
            await self._push_pull(to, join)
        except (StreamFailed, MergeRefused) as error:
            self._logs["memberlist"].error("memberlist: Push/Pull with %s failed: %s", node, error)

    # --- joining ---

    async def join(self, addresses: Sequence[str], default_port: int) -> tuple[int, list[str]]:
        """How many nodes were reached, and why others were not, in the order given."""
        reached = 0
        errors: list[str] = []
        for address in addresses:
            try:
                endpoints = await resolve(address, default_port)
            except AddressError as error:
                errors.append(str(error))
                self._logs["memberlist"].warning("memberlist: %s", error)
                continue
            for host, port in endpoints:
                try:
                    await self._push_pull(Endpoint(host, port), True, ignore_old_events=True)
                    reached += 1
                except (StreamFailed, MergeRefused) as error:
                    errors.append(f"Failed to join {host}: {error}")
                    self._logs["memberlist"].debug("memberlist: %s", errors[-1])
        if reached:
            self.pool.joined(self._clock_ns())
            self._settle()
        return reached, errors

    async def _rejoin(self) -> None:
        """Find back into the pool of the last run through anybody who was in it."""
        log = self._logs["serf"]
        previous = list(self._previous.items())
        self._random.shuffle(previous)
        for name, address in previous:
            log.info("serf: Attempting re-join to previously known node: %s: %s", name, address)
            try:
                host, port = split_address(address, self._config.port)
                await self._push_pull(Endpoint(host, port), True)
            except (AddressError, StreamFailed, MergeRefused) as error:
                log.debug("serf: Failed to re-join %s: %s", name, error)
                continue
            log.info("serf: Re-joined to previously known node: %s: %s", name, address)
            return
        log.warning("serf: Failed to re-join any previously known node")

    # --- what users ask for ---

    def set_tags(self, changed: dict[str, str], removed: Sequence[str]) -> None:
        """Raises ProtocolError when they do not fit; then nothing is changed."""
        tags = {key: value for key, value in {**self.tags, **changed}.items() if key not in removed}
        if tags == self.tags:
            return
        self.pool.set_tags(tags, self._clock_ns())
        self.tags = tags
        self._settle()

    def members(self) -> list[Member]:
        return list(self.pool.serf.members.values())

    def fire_event(self, name: str, payload: bytes, coalesce: bool) -> int:
        """Raises PoolError."""
        lamport_time = self.pool.fire_event(name, payload, coalesce, self._clock_ns())
        self._settle()
        return lamport_time

    async def force_leave(self, name: str, prune: bool) -> None:
        """Returns when the intent has gone out, or after a while. Raises PoolError."""
        waiter = self.pool.force_leave(name, prune, self._clock_ns())
        future = self._waiters[waiter] = asyncio.get_running_loop().create_future()
        self._settle()
        try:
            await asyncio.wait((future,), timeout=self._config.broadcast_timeout_ns / 1e9)
        finally:
            del self._waiters[waiter]

    async def query(
        self,
        name: str,
        payload: bytes,
        filters: Sequence[bytes] = (),
        relay_factor: int = 0,
        acks: bool = False,
        timeout_ns: int = 0,
        enough: int = 0,
    ) -> QueryAnswers:
        """Ask the pool; returns after `enough` answers (0: never enough) or the timeout. Raises PoolError."""
        key = self.pool.ask(name, payload, self._clock_ns(), filters, relay_factor, acks, timeout_ns)
        answers = QueryAnswers()
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queries[key] = (answers, enough, finished)
        self._settle()
        try:
            await finished
        finally:
            del self._queries[key]
            self.pool.close_query(key, self._clock_ns())
            self._settle()
        return answers

    def respond(self, query: QueryReceived, payload: bytes) -> None:
        """Answer a query that was received. Raises PoolError."""
        self.pool.respond(query, payload, self._clock_ns())
        self._settle()

    def _answered(self, effect: QueryAnswered) -> None:
        if (query := self._queries.get(effect.query_key)) is None:
            return
        answers, enough, finished = query
        if effect.ack:
            answers.acks.add(effect.sender)
        else:
            answers.payloads[effect.sender] = effect.payload
        if enough and len(answers.payloads) >= enough and not finished.done():
            finished.set_result(None)

    def alive_count(self) -> int:
        return sum(member.status is MemberStatus.ALIVE for member in self.members())

    def stats(self) -> dict[str, str]:
        """As `consul info` names them."""
        pool, serf = self.pool, self.pool.serf
        values: dict[str, object] = {
            "coordinate_resets": serf.coordinates.resets,
            "encrypted": str(bool(self._security.keys)).lower(),
            "event_queue": len(serf.event_queue),
            "event_time": serf.events.clock.time,
            "failed": len(serf.failed),
            "health_score": pool.swim.awareness.score,
            "intent_queue": len(serf.intent_queue),
            "left": len(serf.left),
            "member_time": serf.clock.time,
            "members": len(serf.members),
            "query_queue": len(serf.query_queue),
            "query_time": serf.queries_seen.clock.time,
        }
        return {key: str(value) for key, value in values.items()}
