"""A simulated network: loses, delays, doubles and reorders; links can be cut in one direction or both."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from sim.clock import Timeline

MS = 1_000_000


@dataclass(slots=True)
class NetworkFaults:
    """How bad the network is at the moment. Probabilities per message in thousandths."""

    loss_permille: int = 0
    duplicate_permille: int = 0
    slow_permille: int = 0
    """Messages that take up to `slow_max_ns`: they arrive after later ones."""
    slow_max_ns: int = 300 * MS
    delay_min_ns: int = MS // 5
    delay_max_ns: int = 2 * MS


class Network:
    """Carries messages between named machines."""

    def __init__(self, timeline: Timeline, random: Random, deliver: Callable[[str, object], None]) -> None:
        self.faults = NetworkFaults()
        self._timeline = timeline
        self._random = random
        self._deliver = deliver
        self._cut: set[tuple[str, str]] = set()

    def send(self, source: str, target: str, message: object) -> None:
        """Send, perhaps in vain, perhaps twice."""
        faults, random = self.faults, self._random
        if (source, target) in self._cut or random.randrange(1000) < faults.loss_permille:
            return
        copies = 2 if random.randrange(1000) < faults.duplicate_permille else 1
        for _ in range(copies):
            slow = random.randrange(1000) < faults.slow_permille
            delay_ns = random.randint(faults.delay_min_ns, faults.slow_max_ns if slow else faults.delay_max_ns)
            self._timeline.after(delay_ns, lambda: self._arrive(source, target, message))

    def _arrive(self, source: str, target: str, message: object) -> None:
        if (source, target) not in self._cut:
            self._deliver(target, message)

    def cut(self, sources: Iterable[str], targets: Iterable[str]) -> None:
        """From now on nothing passes from `sources` to `targets` (what is on its way is lost, too)."""
        targets = list(targets)
        self._cut.update((source, target) for source in sources for target in targets if source != target)

    def isolate(self, name: str, others: Iterable[str]) -> None:
        """Cut one machine off, both ways."""
        others = list(others)
        self.cut([name], others)
        self.cut(others, [name])

    def heal(self) -> None:
        """All links work again."""
        self._cut.clear()
