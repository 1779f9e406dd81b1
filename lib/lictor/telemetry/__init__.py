"""What the agent counts about itself, and how it is told: see `catalogue` for every name.

A module of a daemon's shell takes its series once, when it is loaded, and adds to them:

    _BATCHES = telemetry.sample("raft.fsm.applyBatchNum")
    …
    _BATCHES.add(len(entries))
"""

from lictor.telemetry.registry import PROCESS, Counter, Gauge, Registry, Sample, counter, gauge, sample

__all__ = ("PROCESS", "Counter", "Gauge", "Registry", "Sample", "counter", "gauge", "sample")
