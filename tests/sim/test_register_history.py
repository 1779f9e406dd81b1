"""The linearizability checker agrees with an exhaustive search over all orders, on small random histories."""

import random
from dataclasses import dataclass
from itertools import permutations

from sim.raft_checks import RegisterHistory, RuleBroken

SEED = 20140205
HISTORIES = 3000
MAX_OPERATIONS = 5


@dataclass(frozen=True)
class Operation:
    """A write of `index`, or a read that saw `index`, between two moments."""

    called: int
    returned: int
    index: int
    is_write: bool


def random_history(chooser: random.Random) -> list[Operation]:
    """Writes take their index in the order of random moments within their calls; reads see any write begun before
    they return, a stale one as well."""
    spans = []
    for _ in range(chooser.randrange(2, MAX_OPERATIONS + 1)):
        called = chooser.randrange(0, 20)
        returned = called + chooser.randrange(1, 8)
        spans.append((called, returned, chooser.uniform(called, returned), chooser.random() < 0.5))
    effects = sorted(span for span in spans if span[3])
    effects.sort(key=lambda span: span[2])
    index_of = {span: index for index, span in enumerate(effects, 1)}
    history = []
    for span in spans:
        called, returned, _, is_write = span
        if is_write:
            history.append(Operation(called, returned, index_of[span], True))
        else:
            begun = [0, *(index for other, index in index_of.items() if other[2] <= returned)]
            history.append(Operation(called, returned, chooser.choice(begun), False))
    return history


def search_finds_an_order(history: list[Operation]) -> bool:
    """Whether some order keeps real time, the order of the writes, and lets every read see the last write."""
    for order in permutations(history):
        if any(later.returned < earlier.called for at, earlier in enumerate(order) for later in order[at + 1 :]):
            continue
        value, fits = 0, True
        for operation in order:
            if operation.is_write:
                fits = fits and operation.index > value
                value = operation.index
            else:
                fits = fits and operation.index == value
        if fits:
            return True
    return False


def checker_accepts(history: list[Operation]) -> bool:
    """Feeds the checker calls and returns in order of time."""
    register = RegisterHistory()
    moments = [(operation.called, 0, number) for number, operation in enumerate(history)]
    moments += [(operation.returned, 1, number) for number, operation in enumerate(history)]
    floors: dict[int, int] = {}
    try:
        for _, kind, number in sorted(moments):
            operation = history[number]
            if kind == 0:
                floors[number] = register.called("key")
            elif operation.is_write:
                register.wrote("key", floors[number], operation.index)
            else:
                register.read("any", "key", floors[number], operation.index)
    except RuleBroken:
        return False
    return True


def test_the_checker_agrees_with_an_exhaustive_search() -> None:
    chooser = random.Random(SEED)
    verdicts = {True: 0, False: 0}
    for number in range(HISTORIES):
        history = random_history(chooser)
        expected = search_finds_an_order(history)
        assert checker_accepts(history) == expected, f"seed {SEED}, history {number}: {history}"
        verdicts[expected] += 1
    assert min(verdicts.values()) > HISTORIES / 20, verdicts
