"""The deciding half of gossipd: SWIM with Lifeguard, Serf on top of it. No I/O, no clock, no randomness of its own.

Events and the time (integer nanoseconds) go in through the methods of `Pool`; effects and `wake_at_ns` come out.
"""
