"""`consul agent`: run an agent (the work is `lictor.agent.main`)."""

from __future__ import annotations

import gc

from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul agent [options]

  Starts an agent, which is one node of a cluster, and runs it until it is
  interrupted. Settings are read from the flags and from the files and
  directories they name.
"""


def define(flags: FlagSet) -> None:
    """The agent's flags."""
    from lictor.config.sources import agent_flags

    flags.flags.update(agent_flags().flags)


def main(arguments: list[str]) -> int:
    """Run the agent; returns its exit code."""
    # Importing makes no garbage; the supervisor turns collecting on again when all daemons run.
    gc.disable()
    from lictor.agent.main import main as run_agent

    return run_agent(arguments)
