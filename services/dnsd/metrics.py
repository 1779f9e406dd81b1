"""What is counted about questions: `dns.domain_query`, `dns.ptr_query`, `dns.stale_queries`."""

from __future__ import annotations

from time import perf_counter

from lictor import telemetry

REVERSE_MARK = b"\x04arpa\x00"
STALE_ANSWERS = telemetry.counter("dns.stale_queries")


class DnsMetrics:
    """Of one node. Answers from the packet cache are told in batches: a clock for each would cost some percent."""

    def __init__(self, node_name: str) -> None:
        labels = (("node", node_name),)
        self._domain = telemetry.sample("dns.domain_query", labels=labels)
        self._reverse = telemetry.sample("dns.ptr_query", labels=labels)

    def answered(self, packet: bytes, started_s: float) -> None:
        """One answer that was made since `started_s` (of `time.perf_counter`)."""
        reverse = REVERSE_MARK in packet.lower()
        (self._reverse if reverse else self._domain).since(started_s)

    def kept(self, count: int, reverse_count: int, started_s: float) -> None:
        """So many answers from the cache since `started_s`, of them so many to reverse questions."""
        each_ms = (perf_counter() - started_s) * 1000.0 / count
        self._reverse.add_many(each_ms, reverse_count)
        self._domain.add_many(each_ms, count - reverse_count)
