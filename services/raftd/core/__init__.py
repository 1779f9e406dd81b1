"""Raft without I/O: inputs and the time go in, effects (`Ready`) come out. Start at `raftd.core.raft`."""
