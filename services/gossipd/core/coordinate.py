"""Vivaldi network coordinates: round trip times as distances in eight dimensions plus a height.

Dabek et al., "Vivaldi: A Decentralized Network Coordinate System" (2004), with the heights, the gravity of Ledlie
et al. and the adjustment terms of Lee et al. as Serf combines them. All values are seconds.
"""

import math
from dataclasses import dataclass, replace
from random import Random

DIMENSION_COUNT = 8
ERROR_MAX = 1.5
ERROR_FACTOR = 0.25
FORCE_FACTOR = 0.25
ADJUSTMENT_WINDOW = 20
HEIGHT_MIN_S = 1e-5
LATENCY_FILTER_SIZE = 3
GRAVITY_RHO = 150.0
ZERO_THRESHOLD = 1e-6
MAX_ROUND_TRIP_S = 10.0
MAX_LATENCY_FILTERS = 65_536


class CoordinateError(ValueError):
    """A peer's coordinate or a round trip time that cannot be used."""


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A place in the network."""

    vector_s: tuple[float, ...] = (0.0,) * DIMENSION_COUNT
    error: float = ERROR_MAX
    adjustment_s: float = 0.0
    height_s: float = HEIGHT_MIN_S

    def is_valid(self) -> bool:
        values = (*self.vector_s, self.error, self.adjustment_s, self.height_s)
        return len(self.vector_s) == DIMENSION_COUNT and all(map(math.isfinite, values))

    def raw_distance_s(self, other: "Coordinate") -> float:
        return math.dist(self.vector_s, other.vector_s) + self.height_s + other.height_s

    def distance_s(self, other: "Coordinate") -> float:
        """The expected round trip time."""
        raw_s = self.raw_distance_s(other)
        adjusted_s = raw_s + self.adjustment_s + other.adjustment_s
        return adjusted_s if adjusted_s > 0 else raw_s

    def pushed(self, force_s: float, other: "Coordinate", random: Random) -> "Coordinate":
        """This coordinate after a force away from `other`."""
        unit, magnitude = _unit_vector(self.vector_s, other.vector_s, random)
        vector = tuple(value + direction * force_s for value, direction in zip(self.vector_s, unit, strict=True))
        height_s = self.height_s
        if magnitude > ZERO_THRESHOLD:
            height_s = max((height_s + other.height_s) * force_s / magnitude + height_s, HEIGHT_MIN_S)
        return replace(self, vector_s=vector, height_s=height_s)


ORIGIN = Coordinate()


def _unit_vector(to: tuple[float, ...], away_from: tuple[float, ...], random: Random) -> tuple[list[float], float]:
    """The direction and the distance; a random direction and no distance when both are at one place."""
    difference = [a - b for a, b in zip(to, away_from, strict=True)]
    magnitude = math.hypot(*difference)
    if magnitude > ZERO_THRESHOLD:
        return [value / magnitude for value in difference], magnitude
    difference = [random.random() - 0.5 for _ in to]
    magnitude = math.hypot(*difference)
    if magnitude > ZERO_THRESHOLD:
        return [value / magnitude for value in difference], 0.0
    return [1.0] + [0.0] * (len(to) - 1), 0.0


class CoordinateClient:
    """This node's coordinate, moved a little by every ping of a peer."""

    def __init__(self, random: Random) -> None:
        self.coordinate = Coordinate()
        self.resets = 0
        self._random = random
        self._adjustments = [0.0] * ADJUSTMENT_WINDOW
        self._adjustment_index = 0
        self._latencies: dict[str, tuple[float, ...]] = {}

    def update(self, node: str, other: Coordinate, round_trip_s: float) -> Coordinate:
        """Learns from one measured round trip. Raises CoordinateError and changes nothing when it is unusable."""
        if not other.is_valid():
            raise CoordinateError("coordinate is invalid")
        if not 0 <= round_trip_s <= MAX_ROUND_TRIP_S:
            raise CoordinateError(
                f"round trip time not in valid range, duration {round_trip_s}s is not a positive value less than 10s"
            )
        round_trip_s = self._median_latency_s(node, round_trip_s)
        self._update_vivaldi(other, round_trip_s)
        self._update_adjustment(other, round_trip_s)
        self._update_gravity()
        if not self.coordinate.is_valid():
            self.resets += 1
            self.coordinate = Coordinate()
        return self.coordinate

    def forget(self, node: str) -> None:
        self._latencies.pop(node, None)

    def _median_latency_s(self, node: str, round_trip_s: float) -> float:
        samples = (*self._latencies.get(node, ()), round_trip_s)[-LATENCY_FILTER_SIZE:]
        if node in self._latencies or len(self._latencies) < MAX_LATENCY_FILTERS:
            self._latencies[node] = samples
        return sorted(samples)[len(samples) // 2]

    def _update_vivaldi(self, other: Coordinate, round_trip_s: float) -> None:
        here = self.coordinate
        distance_s = here.distance_s(other)
        round_trip_s = max(round_trip_s, ZERO_THRESHOLD)
        wrongness = abs(distance_s - round_trip_s) / round_trip_s
        weight = here.error / max(here.error + other.error, ZERO_THRESHOLD)
        share = ERROR_FACTOR * weight
        error = min(share * wrongness + here.error * (1.0 - share), ERROR_MAX)
        force_s = FORCE_FACTOR * weight * (round_trip_s - distance_s)
        self.coordinate = replace(here, error=error).pushed(force_s, other, self._random)

    def _update_adjustment(self, other: Coordinate, round_trip_s: float) -> None:
        self._adjustments[self._adjustment_index] = round_trip_s - self.coordinate.raw_distance_s(other)
        self._adjustment_index = (self._adjustment_index + 1) % ADJUSTMENT_WINDOW
        self.coordinate = replace(self.coordinate, adjustment_s=sum(self._adjustments) / (2.0 * ADJUSTMENT_WINDOW))

    def _update_gravity(self) -> None:
        distance_s = ORIGIN.distance_s(self.coordinate)
        force_s = -((distance_s / GRAVITY_RHO) ** 2.0)
        self.coordinate = self.coordinate.pushed(force_s, ORIGIN, self._random)
