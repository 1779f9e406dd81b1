"""`consul debug`: what an agent says about itself for a while, in an archive for those who look for a fault."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError, Client, Options, Query, options
from lictor.config import duration
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul debug [options]

  Records what an agent tells about itself, for a while: metrics, log,
  profiles, host, configuration, members. Everything goes into one archive.
  Profiles need enable_debug; they are text about this agent's own HTTP
  process, not files for Go's tools.
"""
FLAG_ERROR = "==> Error parsing flags: {}"
COMMON = "C"

TARGETS = ("metrics", "logs", "pprof", "host", "agent", "cluster")
DEFAULT_INTERVAL_NS = 30_000_000_000
DEFAULT_DURATION_NS = 120_000_000_000
MIN_INTERVAL_NS = 5_000_000_000
MIN_DURATION_NS = 10_000_000_000
INDEX_VERSION = 1
DIRECTORY_MODE = 0o755
STATIC = (
    ("host", "host.json", "/v1/agent/host", None),
    ("agent", "agent.json", "/v1/agent/self", None),
    ("cluster", "cluster.json", "/v1/agent/members", {"wan": "1"}),
)


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("capture", "strings", f"One of {', '.join(TARGETS)}; may be given several times. All by default.")
    flags.add("interval", "duration", "Length of one recording; 30s by default, at least 5s.", "30s")
    flags.add("duration", "duration", "How long to record; 2m by default, at least 10s.", "2m0s")
    flags.add("archive", "bool", "Make one compressed archive; this is the default.", "true")
    flags.add("output", "string", "Name of the archive without .tar.gz, or of the directory.")


class Recording:
    """What is asked of which agent, and where it goes."""

    def __init__(self, where: Options, targets: list[str], interval_ns: int, duration_ns: int, output: Path) -> None:
        self.where, self.targets, self.output = where, targets, output
        self.interval_ns, self.duration_ns = interval_ns, duration_ns
        self.failures: list[str] = []

    def save(self, path: Path, source: str, query: Query | None = None) -> None:
        """One answer into one file; a failure is noted and the rest goes on."""
        client = Client(self.where)
        try:
            path.write_bytes(client.get(source, query).body)
        except ApiError as error:
            self.failures.append(f"{source}: {error}")
        finally:
            client.close()

    def follow_log(self, path: Path, seconds: float) -> None:
        """The agent's log for so long."""
        client = Client(self.where)
        try:
            with open(path, "wb") as file:
                for line in client.stream_for("/v1/agent/monitor", seconds, {"loglevel": "DEBUG"}):
                    file.write(line + b"\n")
        except ApiError as error:
            self.failures.append(f"/v1/agent/monitor: {error}")
        finally:
            client.close()

    def once(self) -> None:
        """What does not change while we look."""
        for target, name, source, query in STATIC:
            if target in self.targets:
                self.save(self.output / name, source, query)

    def interval(self) -> None:
        """One recording of everything that changes; takes the interval's time."""
        folder = self.output / str(int(time.time()))
        folder.mkdir(mode=DIRECTORY_MODE)
        seconds = self.interval_ns / 1e9
        work: list[Callable[[], None]] = []
        if "logs" in self.targets:
            work.append(lambda: self.follow_log(folder / "consul.log", seconds))
        if "pprof" in self.targets:
            asked = {"seconds": f"{seconds:g}"}
            work.append(lambda: self.save(folder / "heap.prof", "/debug/pprof/heap"))
            work.append(lambda: self.save(folder / "goroutine.prof", "/debug/pprof/goroutine"))
            work.append(lambda: self.save(folder / "profile.prof", "/debug/pprof/profile", asked))
            work.append(lambda: self.save(folder / "trace.out", "/debug/pprof/trace", asked))
        threads = [threading.Thread(target=one, daemon=True) for one in work]
        end_s = time.monotonic() + seconds
        for thread in threads:
            thread.start()
        time.sleep(max(end_s - time.monotonic(), 0.0))
        if "metrics" in self.targets:
            self.save(folder / "metrics.json", "/v1/agent/metrics")
        for thread in threads:
            thread.join()


def run(call: Call) -> int:
    """Check, record, pack."""
    if call.arguments:
        raise CommandError("==> debug: Too many arguments provided, expected 0")
    recording, version = _prepare(call)
    call.out("==> Starting debugger and capturing static information...")
    for name, value in (
        ("Agent Version", version),
        ("Interval", duration.show(recording.interval_ns)),
        ("Duration", duration.show(recording.duration_ns)),
        ("Output", f"{recording.output}.tar.gz" if call.flag("archive", True) else str(recording.output)),
        ("Capture", ", ".join(recording.targets)),
    ):
        call.out(f"{name:>18}: '{value}'")
    try:
        _record(call, recording, version)
    except KeyboardInterrupt:
        raise CommandError("==> Error encountered during collection: interrupted") from None
    except OSError as error:
        raise CommandError(f"==> Error encountered during collection: {error}") from None
    for failure in dict.fromkeys(recording.failures):
        call.error(f"[WARN] not captured: {failure}")
    if not call.flag("archive", True):
        call.out(f"    Saved debug directory: {recording.output}")
        return OK
    call.out(f"    Saved debug archive: {_pack(recording.output)}")
    return OK


def _prepare(call: Call) -> tuple[Recording, str]:
    """The recording, its directory made, and the agent's version. Raises CommandError and changes nothing."""
    interval_ns = call.flag("interval", DEFAULT_INTERVAL_NS)
    duration_ns = call.flag("duration", DEFAULT_DURATION_NS)
    output = Path(call.flag("output") or f"consul-debug-{int(time.time())}")
    targets = list(call.flag("capture", [])) or list(TARGETS)
    fault = ""
    if duration_ns < MIN_DURATION_NS:
        fault = f"duration must be longer than {duration.show(MIN_DURATION_NS)}"
    elif interval_ns < MIN_INTERVAL_NS:
        # Consul's own text names the wrong bound; scripts may look for it.
        fault = f"interval must be longer than {duration.show(MIN_DURATION_NS)}"
    elif duration_ns < interval_ns:
        shown, period = duration.show(duration_ns), duration.show(interval_ns)
        fault = f"duration ({shown}) must be longer than interval ({period})"
    if fault:
        raise CommandError(f"==> Capture validation failed: {fault}")
    try:
        agent = call.client.get("/v1/agent/self").json()
    except ApiError as error:
        raise CommandError(
            f"==> Capture validation failed: error querying target agent: {error}."
            " verify connectivity and agent address"
        ) from None
    if unknown := next((target for target in targets if target not in TARGETS), ""):
        fault = f"target not found: {unknown}"
    elif output.exists():
        fault = f"output directory already exists: {output}"
    if fault:
        raise CommandError(f"==> Capture validation failed: {fault}")
    if "pprof" in targets and not agent["DebugConfig"]["EnableDebug"]:
        targets.remove("pprof")
        call.error("[WARN] Unable to capture pprof. Set enable_debug to true on target agent to enable profiling.")
    try:
        output.mkdir(mode=DIRECTORY_MODE)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(
            f"==> Capture validation failed: could not create output directory: mkdir {output}: {reason}"
        ) from None
    return Recording(options(call.flags), targets, interval_ns, duration_ns, output), agent["Config"]["Version"]


def _record(call: Call, recording: Recording, version: str) -> None:
    index = {
        "version": INDEX_VERSION,
        "agentVersion": version,
        "interval": duration.show(recording.interval_ns),
        "duration": duration.show(recording.duration_ns),
        "targets": recording.targets,
    }
    (recording.output / "index.json").write_text(json.dumps(index, indent=2))
    recording.once()
    if not set(recording.targets) & {"metrics", "logs", "pprof"}:
        return
    count = recording.duration_ns // recording.interval_ns
    for number in range(1, count + 1):
        call.out(f"==> Beginning capture interval {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())} ({number})")
        recording.interval()
        call.out(f"Capture successful {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())} ({number})")


def _pack(folder: Path) -> str:
    """The directory as an archive, which takes its place. Raises CommandError."""
    name = f"{folder}.tar.gz"
    partial = f"{name}.partial"
    try:
        with tarfile.open(partial, "w:gz") as archive:
            archive.add(folder, arcname=folder.name)
        os.replace(partial, name)
        shutil.rmtree(folder)
    except OSError as error:
        raise CommandError(f"Archive creation failed: {error}") from None
    return name
