"""What all parts of one pool share: its numbers, its randomness, the present, and where effects go."""

from random import Random

from gossipd.core.codec import Codec
from gossipd.core.config import PoolConfig
from gossipd.core.effects import Effect, Log, LogLevel
from gossipd.core.timers import Timers


class Context:
    """`now_ns` is set by the pool at every entry and never runs backwards."""

    __slots__ = ("codec", "config", "effects", "now_ns", "random", "timers")

    def __init__(self, config: PoolConfig, codec: Codec, random: Random, now_ns: int) -> None:
        self.config = config
        self.codec = codec
        self.random = random
        self.now_ns = now_ns
        self.timers = Timers()
        self.effects: list[Effect] = []

    def log(self, level: LogLevel, layer: str, text: str) -> None:
        self.effects.append(Log(level, layer, text))
