"""From a question's bytes to an answer's bytes: cache, parsing, handling, finding facts.

What can be answered at once is; what takes a wait (another datacenter, a prepared query, a recursor) becomes a
`Waiting`, which the driver finishes within the client's patience or drops.
"""

from __future__ import annotations

import logging
import random
import struct
import time
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import msgspec

from dnsd.core import message, names
from dnsd.core.answer import Answer
from dnsd.core.cache import Entry, PacketCache, Stamp
from dnsd.core.handlers import handle
from dnsd.core.message import Transport
from dnsd.core.needs import Handling, OutsideAddresses, Relay, Unavailable
from dnsd.core.question import CD, HEADER_BYTES, OPCODE_MASK, RD, Question, Refusal, parse
from dnsd.core.records import SERVFAIL
from dnsd.core.settings import Settings
from dnsd.metrics import DnsMetrics
from dnsd.recursors import Recursors
from dnsd.sources.source import Source, View
from lictor.logs import quoted

log = logging.getLogger("agent.dns")

ID_BYTES = 2
FOLDED_MARK = b"\xff"
"""First byte of the cache keys of folded questions; the flags of a query never begin so (they would be an answer's)."""
TCP_MARK = b"\xfe"

_key = struct.Struct("!HHHl").pack


class Waiting:
    """An answer that needs something fetched first."""

    __slots__ = ("handling", "need", "packet", "question", "started_s", "transport")

    def __init__(
        self,
        packet: bytes,
        question: Question,
        transport: Transport,
        handling: Handling,
        need: Any,
    ) -> None:
        self.packet = packet
        self.question = question
        self.transport = transport
        self.handling = handling
        self.need = need
        self.started_s = perf_counter()


class Engine:
    """Answers packets. One per process; not for use from several threads."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        recursors: Recursors,
        clock_s: Callable[[], float] = time.time,
        chance: random.Random | None = None,
        metrics: DnsMetrics | None = None,
    ) -> None:
        self.metrics = metrics or DnsMetrics("")
        self.settings = settings
        self.source = source
        self.recursors = recursors
        self.cache = PacketCache()
        self._clock_s = clock_s
        self._shuffle = (chance or random.Random()).shuffle

    def configure(self, settings: Settings, recursors: Recursors, source: Source) -> None:
        """Answer by new settings from now on."""
        self.settings = settings
        self.source = source
        self.recursors = recursors
        self.cache.clear()

    def answer(self, packet: bytes, transport: Transport, client_address: str, view: View) -> bytes | Waiting | None:
        """The response with its ID, what to wait for, or None for what gets no answer."""
        started_s = perf_counter()
        response = self._answer(packet, transport, client_address, view)
        if isinstance(response, bytes):
            self.metrics.answered(packet, started_s)
        return response

    def _answer(self, packet: bytes, transport: Transport, client_address: str, view: View) -> bytes | Waiting | None:
        now_s = int(self._clock_s())
        exact = packet[ID_BYTES:] if transport is Transport.UDP else TCP_MARK + packet[ID_BYTES:]
        entry = self.cache.find(exact, view.get, now_s)
        if entry is not None:
            return packet[:ID_BYTES] + entry.take()
        try:
            question = parse(packet)
        except Refusal as refusal:
            return None if refusal.rcode < 0 else message.refusal(packet, refusal)
        key = exact
        if not question.plain or question.name != question.folded:
            if question.subnet is not None or not self.settings.compress:
                return self._handle(packet, question, transport, client_address, view, now_s, None)
            key = _folded_key(question, transport)
            entry = self.cache.find(key, view.get, now_s)
            if entry is not None:
                return _respelled(packet, question, entry.take())
        return self._handle(packet, question, transport, client_address, view, now_s, key)

    def _handle(
        self,
        packet: bytes,
        question: Question,
        transport: Transport,
        client_address: str,
        view: View,
        now_s: int,
        key: bytes | None,
    ) -> bytes | Waiting:
        folded = key is not None and key.startswith(FOLDED_MARK)
        asked = msgspec.structs.replace(question, name=question.folded) if folded else question
        handling = handle(
            asked, self.settings, now_s, self._shuffle, client_address, message.byte_limit(question, transport)
        )
        stamps: list[Stamp] | None = []
        step: Callable[[], Any] = partial(handling.send, None)
        while True:
            try:
                need = step()
            except StopIteration as stop:
                return self._finish(packet, question, asked, transport, stop.value, stamps, key)
            try:
                found = None if isinstance(need, Relay | OutsideAddresses) else view.find(need)
            except Unavailable as error:
                log.debug("rpc error: error=%s", error)
                step, stamps = partial(handling.throw, error), None
                continue
            if found is None:
                if folded:
                    # What is fetched is not kept, so it need not be found under every spelling.
                    handling.close()
                    return self._handle(packet, question, transport, client_address, view, now_s, None)
                return Waiting(packet, question, transport, handling, need)
            step = partial(handling.send, found.facts)
            stamps = None if stamps is None or found.stamps is None else [*stamps, *found.stamps]

    def _finish(
        self,
        packet: bytes,
        question: Question,
        asked: Question,
        transport: Transport,
        answer: Answer,
        stamps: list[Stamp] | None,
        key: bytes | None,
    ) -> bytes:
        if answer.relayed:
            return packet[:ID_BYTES] + answer.relayed[ID_BYTES:]
        if key is None or stamps is None or not answer.keeps or (answer.folds_owner and asked is not question):
            body = message.render(question, answer, self.settings, transport)
            return packet[:ID_BYTES] + body
        entry = Entry(asked, answer, self.settings, transport, tuple(dict.fromkeys(stamps)))
        self.cache.add(key, entry)
        body = entry.packets[0]
        if asked is not question:
            return _respelled(packet, question, body)
        return packet[:ID_BYTES] + body

    async def resolve(self, waiting: Waiting) -> bytes:
        """Fetch what is missing and finish."""
        handling, need = waiting.handling, waiting.need
        step: Callable[[], Any]
        while True:
            try:
                facts = await self._fetch(waiting, need)
                step = partial(handling.send, facts)
            except Unavailable as error:
                log.error("rpc error: error=%s", quoted(error))
                step = partial(handling.throw, error)
            try:
                need = step()
            except StopIteration as stop:
                self.metrics.answered(waiting.packet, waiting.started_s)
                return self._finish(
                    waiting.packet, waiting.question, waiting.question, waiting.transport, stop.value, None, None
                )

    async def _fetch(self, waiting: Waiting, need: Any) -> Any:
        if isinstance(need, Relay):
            return await self.recursors.relay(waiting.packet, waiting.transport)
        if isinstance(need, OutsideAddresses):
            return await self.recursors.addresses(need.name)
        with self.source.view() as view:
            found = view.find(need)
        if found is None:
            found = await self.source.fetch(need)
        return found.facts

    def failed(self, waiting: Waiting) -> bytes:
        """What a TCP client is told when the answer did not come in time."""
        waiting.handling.close()
        body = message.render(waiting.question, Answer(rcode=SERVFAIL), self.settings, waiting.transport)
        return waiting.packet[:ID_BYTES] + body


def _folded_key(question: Question, transport: Transport) -> bytes:
    """The cache key of a question whatever its spelling."""
    mark = FOLDED_MARK if transport is Transport.UDP else FOLDED_MARK + TCP_MARK
    flags = question.flags & (RD | CD | OPCODE_MASK)
    return mark + _key(flags, question.kind, question.klass, question.payload_bytes) + names.to_wire(question.folded)


def _respelled(packet: bytes, question: Question, body: bytes) -> bytes:
    """A folded question's packet as an answer to the question as it was spelled."""
    start = HEADER_BYTES - ID_BYTES
    name = names.to_wire(question.name)
    return packet[:ID_BYTES] + body[:start] + name + body[start + len(name) :]
