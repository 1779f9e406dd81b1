"""Sinks that figures are sent to: statsd (UDP), statsite (TCP) and DogStatsD (UDP with tags).

Once a second each daemon sends what changed: a counter's increase, a gauge's value, and the single values of a sample.
Of a busy sample only the most recent values are known; they go out with their sampling rate, as statsd provides for.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator

from lictor.config.runtime import TelemetryConfig
from lictor.logs import quoted
from lictor.telemetry.naming import Naming
from lictor.telemetry.registry import Aggregate, Labels, Registry, Sample, SeriesKey

FLUSH_INTERVAL_S = 1.0
# What fits a datagram on any network (statsd: 1432 with Ethernet's frames).
MAX_DATAGRAM_BYTES = 1400
CONNECT_TIMEOUT_S = 3.0
DEFAULT_PORT = 8125

log = logging.getLogger("agent")


class Line:
    """One figure for a sink: statsd's `name:value|type`, with labels in the sink's own way."""

    __slots__ = ("kind", "labels", "name", "rate", "value")

    def __init__(self, name: str, labels: Labels, value: float, kind: str, rate: float = 1.0) -> None:
        self.name, self.labels, self.value, self.kind, self.rate = name, labels, value, kind, rate

    def plain(self) -> str:
        """For statsd and statsite: label values are further parts of the name."""
        name = ".".join((self.name, *(value for _, value in self.labels)))
        return f"{_safe(name)}:{self.value:.15g}|{self.kind}{self._rate()}"

    def tagged(self, tags: tuple[str, ...]) -> str:
        """For DogStatsD: labels are tags."""
        own = (f"{name}:{value}" for name, value in self.labels)
        text = ",".join(_safe_tag(tag) for tag in (*tags, *own))
        return f"{_safe(self.name)}:{self.value:.15g}|{self.kind}{self._rate()}" + (f"|#{text}" if text else "")

    def _rate(self) -> str:
        return f"|@{self.rate:.6g}" if self.rate < 1 else ""


def _safe(name: str) -> str:
    """A name in which nothing looks like the end of a name."""
    return "".join("_" if letter in ":|@ \n\r\t" else letter for letter in name)


def _safe_tag(tag: str) -> str:
    return "".join("_" if letter in "|,# \n\r\t" else letter for letter in tag)


class Increases:
    """What was added to each series since it was last asked."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._seen: dict[tuple[type, SeriesKey], tuple[int, float]] = {}

    def lines(self, naming: Naming) -> Iterator[Line]:
        """Everything that changed, named; gauges always."""
        registry = self._registry
        for prepare in registry.before_reading:
            prepare()
        for gauge in list(registry.gauges.values()):
            name = naming.name(gauge.name, is_gauge=True)
            if naming.lets_out(name):
                yield Line(name, gauge.labels, gauge.read(), "g")
        for counter in list(registry.counters.values()):
            name = naming.name(counter.name)
            count, total = self._increase(counter)
            if count and naming.lets_out(name):
                yield Line(name, counter.labels, total, "c")
        for sample in list(registry.samples.values()):
            name = naming.name(sample.name)
            count, _ = self._increase(sample)
            if count and naming.lets_out(name):
                yield from _single_values(sample, name, count)

    def _increase(self, aggregate: Aggregate) -> tuple[int, float]:
        key = (type(aggregate), (aggregate.name, aggregate.labels))
        count, total = aggregate.total_count, aggregate.total_sum
        seen_count, seen_total = self._seen.get(key, (0, 0.0))
        self._seen[key] = (count, total)
        return count - seen_count, total - seen_total


def _single_values(sample: Sample, name: str, count: int) -> Iterator[Line]:
    values = list(sample.recent)[-count:]
    rate = len(values) / count
    for value in values:
        yield Line(name, sample.labels, value, "ms", rate)


class Sinks:
    """The configured sinks of one daemon."""

    def __init__(self, config: TelemetryConfig, registry: Registry, naming: Naming) -> None:
        self.naming = naming
        self._config = config
        self._increases = Increases(registry)
        self._task: asyncio.Task[None] | None = None
        self._stream: asyncio.StreamWriter | None = None
        self._udp: socket.socket | None = None
        self._reported = ""

    @property
    def _any(self) -> bool:
        config = self._config
        return bool(config.statsd_address or config.statsite_address or config.dogstatsd_addr)

    def start(self) -> None:
        """Begin to send, if there is anywhere to send to."""
        if self._any:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Send what is left, then close."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        await self._flush()
        if self._stream is not None:
            self._stream.close()
        if self._udp is not None:
            self._udp.close()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            await self._flush()

    async def _flush(self) -> None:
        config = self._config
        lines = list(self._increases.lines(self.naming))
        plain = [line.plain() for line in lines] if config.statsd_address or config.statsite_address else []
        try:
            if config.statsd_address:
                await self._send(config.statsd_address, plain)
            if config.dogstatsd_addr:
                await self._send(config.dogstatsd_addr, [line.tagged(config.dogstatsd_tags) for line in lines])
            if config.statsite_address:
                await self._write(config.statsite_address, plain)
        except OSError as error:
            self._report(str(error))
        else:
            self._reported = ""

    def _report(self, text: str) -> None:
        """Once for as long as it is the same failure."""
        if text != self._reported:
            self._reported = text
            log.error("failed to send metrics: error=%s", quoted(text))

    async def _send(self, address: str, lines: list[str]) -> None:
        host, port = split_address(address)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, _, _, _, target = found[0]
        if self._udp is None or self._udp.family != family:
            if self._udp is not None:
                self._udp.close()
            self._udp = socket.socket(family, socket.SOCK_DGRAM)
            self._udp.setblocking(False)
        for datagram in datagrams(lines):
            self._udp.sendto(datagram, target)

    async def _write(self, address: str, lines: list[str]) -> None:
        host, port = split_address(address)
        if self._stream is None or self._stream.is_closing():
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    _, self._stream = await asyncio.open_connection(host, port)
            except TimeoutError:
                raise OSError(f"statsite {address}: i/o timeout") from None
        try:
            self._stream.write("".join(f"{line}\n" for line in lines).encode())
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._stream.drain()
        except (OSError, TimeoutError) as error:
            self._stream.close()
            self._stream = None
            raise OSError(f"statsite {address}: {error or 'i/o timeout'}") from None


def split_address(address: str) -> tuple[str, int]:
    """Host and port; statsd's port when none is given."""
    host, mark, port = address.rpartition(":")
    if not mark or not port.isdigit():
        return address.strip("[]"), DEFAULT_PORT
    return host.strip("[]"), int(port)


def datagrams(lines: list[str]) -> Iterator[bytes]:
    """The lines in as few datagrams as hold them; one too long for any goes alone."""
    gathered: list[bytes] = []
    size = 0
    for line in lines:
        raw = line.encode("utf-8", "replace")
        if gathered and size + len(raw) + 1 > MAX_DATAGRAM_BYTES:
            yield b"\n".join(gathered)
            gathered, size = [], 0
        gathered.append(raw)
        size += len(raw) + 1
    if gathered:
        yield b"\n".join(gathered)
