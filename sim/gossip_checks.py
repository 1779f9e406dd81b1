"""What must be true of a pool, compared with what really happened to its hosts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from gossipd.core.member import MemberStatus
from sim.gossip_world import Event, SimNode, World

# A node that has come back needs a moment to refute what is said about its former life.
START_GRACE_NS = 3_000_000_000
# All who hear of one false death within this time made one mistake.
ONE_MISTAKE_NS = 10_000_000_000
MAX_MISTAKES = 2


class CheckFailed(AssertionError):
    """A property does not hold; the text names the seed that shows it."""


@dataclass(slots=True)
class Truth:
    """What really happened."""

    # Node name to the number of its present run and since when it has been up; only of nodes that are up.
    up: dict[str, tuple[int, int]] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    # Event name to those who must hear it, as (node, run): up when it was fired.
    events: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    no_false_death: bool = False
    pauses: int = 0
    # Node name to the times at which it went down, by crash or leave.
    downs: dict[str, list[int]] = field(default_factory=dict)
    starts: dict[str, list[int]] = field(default_factory=dict)

    def started(self, node: SimNode, now_ns: int) -> None:
        self.up[node.name] = (node.run, now_ns)
        self.starts.setdefault(node.name, []).append(now_ns)

    def stopped(self, node: SimNode) -> None:
        self.up.pop(node.name, None)
        self.downs.setdefault(node.name, []).append(node.world.now_ns)

    def was_up_at(self, name: str, at_ns: int) -> bool:
        """Whether the node was up and had been for the grace period after a start."""
        started_ns = max((start for start in self.starts.get(name, ()) if start <= at_ns), default=at_ns)
        down_ns = max((down for down in self.downs.get(name, ()) if down <= at_ns), default=-1)
        return started_ns > down_ns and at_ns - started_ns > START_GRACE_NS

    def is_down_at(self, name: str, at_ns: int) -> bool:
        downs = [down for down in self.downs.get(name, ()) if down <= at_ns]
        return bool(downs) and not any(downs[-1] <= start <= at_ns for start in self.starts.get(name, ()))

    def leaves(self, node: SimNode) -> None:
        self.up.pop(node.name, None)
        self.left.add(node.name)

    def fired(self, name: str, source: SimNode, world: World) -> None:
        """Everybody who is up must hear it, but for those who have restarted: what they knew before makes an event of
        a part of the pool whose clock is behind look old to them (Serf's rule for its snapshot)."""
        hearers = {(node, run) for node, (run, _) in self.up.items() if run == 1}
        self.events[name] = {(source.name, source.run)} | hearers

    def _still_up(self, name: str) -> bool:
        """Whether somebody who was up when it was fired, the source included, has been up ever since."""
        return all(self.up.get(node, (0, 0))[0] == run for node, run in self.events[name])

    def missing_events(self, world: World) -> list[tuple[str, str]]:
        """(event, node) pairs that have not happened but must: judged when nobody involved has crashed since."""
        heard = {(event.subject, event.node, event.run) for event in world.events if event.kind == "EVENT"}
        return [
            (name, node)
            for name, hearers in self.events.items()
            if self._still_up(name)
            for node, run in hearers
            if (name, node, run) not in heard
        ]


def disagreements(world: World, truth: Truth) -> list[str]:
    """How the views of the nodes that are up differ from the truth."""
    found = []
    for name in truth.up:
        pool = world.nodes[name].pool
        assert pool is not None
        found += [f"{name} suspects {other}" for other in pool.swim.suspicions if other in truth.up]
        seen = {member.name: member.status for member in pool.serf.members.values()}
        for other in world.nodes:
            status = seen.get(other)
            if other in truth.up:
                if status is not MemberStatus.ALIVE:
                    found.append(f"{name} sees {other} {status!r} but it is up")
            elif status in (MemberStatus.ALIVE, MemberStatus.LEAVING):
                found.append(f"{name} sees {other} {status!r} but it is gone")
            elif status is MemberStatus.LEFT and other not in truth.left:
                found.append(f"{name} sees {other} left but it crashed")
    return found


def check_convergence(world: World, truth: Truth, seed: int) -> None:
    """After the faults, everybody's view becomes the truth."""
    wrong = disagreements(world, truth)
    if wrong:
        raise CheckFailed(f"seed {seed}: no convergence: {'; '.join(wrong[:5])}")
    views: dict[str, set[MemberStatus]] = {}
    for name in truth.up:
        pool = world.nodes[name].pool
        assert pool is not None
        for member in pool.serf.members.values():
            views.setdefault(member.name, set()).add(member.status)
    split = {name: statuses for name, statuses in views.items() if len(statuses) > 1}
    if split and not truth.left:
        raise CheckFailed(f"seed {seed}: views differ: {split}")


def check_events(world: World, truth: Truth, seed: int) -> None:
    """A user event reaches a node at most once per run, and everybody in the end."""
    counts = Counter((event.subject, event.node, event.run) for event in world.events if event.kind == "EVENT")
    for (name, node, _), count in counts.items():
        if count > 1:
            raise CheckFailed(f"seed {seed}: {name} was delivered {count} times to {node}")
    missing = truth.missing_events(world)
    if missing:
        raise CheckFailed(f"seed {seed}: events never delivered: {missing[:5]}")


def check_accuracy(world: World, truth: Truth, seed: int) -> None:
    """Under loss nobody is called dead. Pauses make suspects: now and then a refutation misses one node (each rumour
    is told so many times, to nodes drawn by chance), so that a few mistakes per seed are the protocol's nature."""
    if not truth.no_false_death:
        return
    _check_dead_stay_dead(world, truth, seed)
    mistakes: list[Event] = []
    for event in world.events:
        if event.kind != "FAILED" or not truth.was_up_at(event.subject, event.at_ns):
            continue
        if not any(known.subject == event.subject and event.at_ns - known.at_ns < ONE_MISTAKE_NS for known in mistakes):
            mistakes.append(event)
    if len(mistakes) > (MAX_MISTAKES if truth.pauses else 0):
        first = mistakes[0]
        raise CheckFailed(
            f"seed {seed}: {len(mistakes)} false deaths; {first.node} declared {first.subject} dead at "
            f"{first.at_ns / 1e9:.1f} s, but it was up"
        )


def _check_dead_stay_dead(world: World, truth: Truth, seed: int) -> None:
    """Who has seen a crashed node fail does not see it join before it is started again."""
    buried: set[tuple[str, str]] = set()
    for event in world.events:
        pair = (event.node, event.subject)
        if event.kind == "FAILED" and not truth.was_up_at(event.subject, event.at_ns):
            buried.add(pair)
        elif event.kind == "JOIN" and pair in buried:
            if truth.is_down_at(event.subject, event.at_ns):
                raise CheckFailed(
                    f"seed {seed}: {event.node} saw {event.subject} rise from the dead at {event.at_ns / 1e9:.1f} s"
                )
            buried.discard(pair)


def check_stability(world: World, truth: Truth, since_ns: int, seed: int) -> None:
    """Once all agree and nothing happens, nobody's view changes any more."""
    for event in world.events:
        if event.at_ns <= since_ns or event.node not in truth.up or event.kind not in ("JOIN", "FAILED", "LEAVE"):
            continue
        # That a lost node had left on purpose may still be spreading.
        if event.kind != "LEAVE" or event.subject not in truth.left:
            raise CheckFailed(f"seed {seed}: {event.node} still saw {event.kind} of {event.subject} after convergence")
