"""`python -m sim.gossip`: many seeds of small pools, or one large pool with its figures.

python -m sim.gossip --seeds 1-1000
python -m sim.gossip --seeds 17 --verbose
python -m sim.gossip --members 1000 --report
"""

from __future__ import annotations

import argparse
import sys
import time

from sim.gossip_checks import CheckFailed
from sim.gossip_scenario import Scenario


def seeds(text: str) -> range:
    """`7` or `1-1000`."""
    first, dash, last = text.partition("-")
    return range(int(first), int(last if dash else first) + 1)


def run_seeds(chosen: range, verbose: bool) -> int:
    started = time.monotonic()
    slowest = 0.0
    failures = 0
    for seed in chosen:
        scenario = Scenario(seed)
        try:
            result = scenario.run()
        except CheckFailed as error:
            failures += 1
            print(f"FAILED {error}\n  replay: python -m sim.gossip --seeds {seed} --verbose")
        else:
            slowest = max(slowest, result.converged_after_s)
        if verbose:
            print("\n".join((f"seed {seed}: {scenario.result.nodes} nodes", *scenario.result.faults)))
    print(
        f"{len(chosen)} seeds, {failures} failed, slowest convergence {slowest:.0f} simulated s, "
        f"{time.monotonic() - started:.1f} s"
    )
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sim.gossip", description=__doc__)
    parser.add_argument("--seeds", type=seeds, default=seeds("1-200"), help="first-last, or one")
    parser.add_argument("--verbose", action="store_true", help="print what happened in each seed")
    parser.add_argument("--members", type=int, help="simulate one pool of this size instead")
    parser.add_argument("--report", action="store_true", help="print its figures beside the predictions")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the large pool")
    arguments = parser.parse_args()
    if arguments.members is None:
        return run_seeds(arguments.seeds, arguments.verbose)
    from sim.gossip_size import simulate

    print(simulate(arguments.members, arguments.seed).text(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
