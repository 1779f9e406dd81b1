"""One pool on the bench: messages go in by hand, effects are looked at."""

from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from gossipd.core.config import SECOND_NS, lan
from gossipd.core.effects import Log, MemberChanged, SendPacket
from gossipd.core.keyring import Keyring
from gossipd.core.member import MemberStatus
from gossipd.core.messages import Alive, Message, Ping
from gossipd.core.policy import OpenPolicy, Policy
from gossipd.core.pool import Pool
from gossipd.core.snapshot import Snapshotter
from gossipd.wire.codec import WireCodec
from gossipd.wire.packet import open_packet
from gossipd.wire.security import Security

START_NS = 1_000 * SECOND_NS
VERSIONS = bytes((1, 5, 2, 2, 5, 4))
META = b"\xff\x80"
EffectType = TypeVar("EffectType")


class Bench:
    """`me` in a pool; `effects` holds what it has wanted so far."""

    def __init__(
        self,
        policy: Policy | None = None,
        keys: tuple[bytes, ...] = (),
        snapshotter: Snapshotter | None = None,
        **changes: Any,
    ) -> None:
        config = replace(lan("me", bytes((10, 0, 0, 1)), 8301), **changes)
        self.now_ns = START_NS
        self.pool = Pool(config, WireCodec(), policy or OpenPolicy(), Random(7), START_NS, Keyring(keys), snapshotter)
        self.effects: list[Any] = []
        self.pool.start({}, START_NS)
        self.settle()

    def settle(self) -> None:
        while effects := self.pool.take_effects():
            self.effects += effects

    def receive(self, *messages: Message, source: tuple[str, int] = ("10.0.0.9", 8301)) -> None:
        encode = WireCodec.encode
        self.pool.receive([(message, encode(message)) for message in messages], source, self.now_ns)
        self.settle()

    def join(self, *names: str, incarnation: int = 1) -> None:
        """Others come: each gets an address by its order."""
        for name in names:
            number = 2 + len(self.pool.swim.nodes)
            self.receive(Alive(incarnation, name, bytes((10, 0, 0, number)), 8301, META, VERSIONS))

    def run(self, duration_s: float) -> None:
        """Let time pass, firing every timer at its moment."""
        end_ns = self.now_ns + int(duration_s * SECOND_NS)
        while self.pool.wake_at_ns <= end_ns:
            self.now_ns = max(self.now_ns, self.pool.wake_at_ns)
            self.pool.tick(self.now_ns)
            self.settle()
        self.now_ns = end_ns

    def next_ping(self) -> Ping:
        """Let time pass until a probe begins."""
        while True:
            pings = [message for _, message in self.sent() if isinstance(message, Ping)]
            if pings:
                return pings[0]
            self.run((self.pool.wake_at_ns - self.now_ns) / SECOND_NS)

    def take(self, kind: type[EffectType]) -> list[EffectType]:
        """The effects of this kind since the last time."""
        found = [effect for effect in self.effects if isinstance(effect, kind)]
        self.effects = [effect for effect in self.effects if not isinstance(effect, kind)]
        return found

    def sent(self) -> list[tuple[tuple[str, int], Message]]:
        """Every message sent since the last time, with its receiver."""
        return [
            (packet.to, received.message)
            for packet in self.take(SendPacket)
            for part in packet.parts
            for received in open_packet(part, Security()).messages
        ]

    def logged(self) -> list[str]:
        return [log.text for log in self.take(Log)]

    def changes(self) -> list[tuple[str, str]]:
        return [(change.kind.name, change.member.name) for change in self.take(MemberChanged)]

    def status(self, name: str) -> MemberStatus | None:
        member = self.pool.serf.members.get(name)
        return member.status if member else None
