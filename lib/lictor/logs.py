"""Log lines in Consul 1.7's format, through the standard `logging` module.

A line of text is `    2020-04-13T08:55:43.821-0400 [INFO]  agent.server.raft: entering follower state: leader=`: four
blanks (on the console only), time with milliseconds, level, logger name, message, then `key=value` pairs. A line of
JSON carries the same under `@timestamp`, `@level`, `@module`, `@message`.

Daemons log through plain loggers named like Consul's (`agent.server`, `agent.http`, …). Pairs are given either in the
message itself or as `extra=fields(leader=..., index=5)`, which also puts them into JSON lines.
"""

from __future__ import annotations

import glob
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lictor.config.runtime import LogConfig

TRACE = 5
LEVELS = {
    "TRACE": TRACE,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERR": logging.ERROR,
    "ERROR": logging.ERROR,
}
_TAGS = {
    TRACE: "[TRACE]",
    logging.DEBUG: "[DEBUG]",
    logging.INFO: "[INFO] ",
    logging.WARNING: "[WARN] ",
    logging.ERROR: "[ERROR]",
    logging.CRITICAL: "[ERROR]",
}
CONSOLE_INDENT = "    "
LOG_FILE_SUFFIX = ".log"
LOG_FILE_MODE = 0o640
MAX_MONITOR_LINE_BYTES = 64 * 1024

logging.addLevelName(TRACE, "TRACE")


def fields(**pairs: Any) -> dict[str, Mapping[str, Any]]:
    """What to pass as `extra=` so that a line ends in these pairs, in this order."""
    return {"fields": pairs}


def level_number(name: str) -> int:
    """The `logging` level of a Consul level name in any case.

    Raises ValueError for a name that is none.
    """
    try:
        return LEVELS[name.upper()]
    except KeyError:
        raise ValueError(
            f"Invalid log level: {name}. Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR]"
        ) from None


def timestamp(seconds: float) -> str:
    """Local time as `2020-04-13T08:55:43.821-0400`; UTC ends in `Z`."""
    local = time.localtime(seconds)
    zone = "Z" if local.tm_gmtoff == 0 else time.strftime("%z", local)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{int(seconds * 1000) % 1000:03d}{zone}"


def quoted(value: Any) -> str:
    """A value as it stands behind `key=`: true/false for booleans, in quotes when it holds blanks."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f'"{text}"' if any(blank in text for blank in " \t\r\n") else text


class TextFormatter(logging.Formatter):
    """Consul's line of text; `indent` goes before every line."""

    def __init__(self, indent: str = "") -> None:
        super().__init__()
        self._indent = indent

    def format(self, record: logging.LogRecord) -> str:
        """One line without its newline; a traceback follows on lines of its own."""
        tag = _TAGS.get(record.levelno, f"[{record.levelname}]")
        line = f"{self._indent}{timestamp(record.created)} {tag} {record.name}: {record.getMessage()}"
        pairs: Mapping[str, Any] = getattr(record, "fields", {})
        if pairs:
            line += ": " + " ".join(f"{key}={quoted(value)}" for key, value in pairs.items())
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """The object: level, message, module, time, then the pairs."""
        level = _TAGS.get(record.levelno, "[INFO]").strip("[] ").lower()
        entry: dict[str, Any] = {
            "@level": level,
            "@message": record.getMessage(),
            "@module": record.name,
            "@timestamp": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}"
            f".{int(record.created * 1e6) % 1_000_000:06d}Z",
        }
        entry.update(getattr(record, "fields", {}))
        if record.exc_info:
            entry["@stacktrace"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class LineHandler(logging.Handler):
    """Writes every line with one `write` to a file descriptor, so that lines of several processes stay whole."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line; a closed output (nobody reads any more) is not an error."""
        try:
            os.write(self._descriptor, (self.format(record) + "\n").encode("utf-8", "replace"))
        except OSError:
            return
        except Exception:
            self.handleError(record)


class Monitor(NamedTuple):
    """Somebody who reads the agent's log from outside: a Unix datagram socket, the least level, the form."""

    path: str
    level: int
    json: bool


class MonitorHandler(logging.Handler):
    """Sends every line as a datagram; what the reader does not take in time is lost to it."""

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(monitor.level)
        self.setFormatter(JsonFormatter() if monitor.json else TextFormatter())
        self._path = monitor.path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """Send the line, or drop it."""
        try:
            line = self.format(record).encode("utf-8", "replace")[:MAX_MONITOR_LINE_BYTES]
            self._socket.sendto(line, self._path)
        except OSError:
            return
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()


class RotatingFile(logging.Handler):
    """`log_file`: `NAME-<unix ns>.log` files, a new one after so many bytes or so long (Consul 1.7: logging).

    All processes of an agent append to the newest file there is; whoever finds it full or old opens the next.
    """

    def __init__(
        self, path: str, rotate_bytes: int, rotate_ns: int, max_files: int, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        super().__init__()
        if path.endswith("/") or os.path.isdir(path):
            path = os.path.join(path, "consul.log")
        base, extension = os.path.splitext(path)
        self._base, self._extension = base, extension or LOG_FILE_SUFFIX
        self._rotate_bytes, self._rotate_ns, self._max_files = rotate_bytes, rotate_ns, max_files
        self._clock_ns = clock_ns
        self._descriptor = -1
        self._opened_ns = 0
        self._open()

    def emit(self, record: logging.LogRecord) -> None:
        """Append the line, to a new file when the current one is due."""
        try:
            line = (self.format(record) + "\n").encode("utf-8", "replace")
            if self._due(len(line)):
                self._open(fresh=True)
            os.write(self._descriptor, line)
        except OSError:
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        super().close()

    def _files(self) -> list[str]:
        return sorted(glob.glob(f"{glob.escape(self._base)}-[0-9]*{self._extension}"))

    def _due(self, size: int) -> bool:
        if self._clock_ns() - self._opened_ns >= self._rotate_ns:
            return True
        return 0 < self._rotate_bytes < os.fstat(self._descriptor).st_size + size

    def _open(self, fresh: bool = False) -> None:
        files = self._files()
        now_ns = self._clock_ns()
        newest_ns = int(files[-1][len(self._base) + 1 : -len(self._extension)]) if files else 0
        if files and newest_ns > self._opened_ns and now_ns - newest_ns < self._rotate_ns:
            target, self._opened_ns = files[-1], newest_ns
        else:
            target, self._opened_ns = f"{self._base}-{now_ns}{self._extension}", now_ns
        previous = self._descriptor
        self._descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, LOG_FILE_MODE)
        if previous >= 0:
            os.close(previous)
        if fresh:
            self._prune()

    def _prune(self) -> None:
        if self._max_files == 0:
            return
        keep = max(self._max_files, 0)
        old = self._files()[:-1]
        for path in old[: len(old) - keep] if keep else old:
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue


def formatter(log: LogConfig, indent: str = "") -> logging.Formatter:
    """What makes lines of text or JSON, as configured."""
    return JsonFormatter() if log.json else TextFormatter(indent)


def setup(log: LogConfig, console: int | None = None) -> None:
    """Send everything logged in this process where the configuration says; callable again after a fork.

    `console` is the descriptor of the console stream, standard output when not given. Raises ValueError for an unknown
    level and OSError when the log file cannot be opened or there is no syslog.
    """
    level = level_number(log.level)
    console_handler = LineHandler(sys.stdout.fileno() if console is None else console)
    console_handler.setFormatter(formatter(log, CONSOLE_INDENT))
    handlers: list[logging.Handler] = [console_handler]
    if log.file:
        file_handler = RotatingFile(log.file, log.rotate_bytes, log.rotate_duration_ns, log.rotate_max_files)
        file_handler.setFormatter(formatter(log))
        handlers.append(file_handler)
    if log.syslog:
        from logging.handlers import SysLogHandler

        syslog = SysLogHandler("/dev/log", facility=syslog_facility(log.syslog_facility))
        syslog.ident = "consul: "
        syslog.setFormatter(formatter(log))
        handlers.append(syslog)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    set_level(level)
    logging.captureWarnings(True)


def set_level(level: int) -> None:
    """Change what is logged; monitors keep their own level."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler, MonitorHandler):
            handler.setLevel(level)
    _apply_levels()


def set_monitors(monitors: Sequence[Monitor]) -> None:
    """Send lines to these monitors, too, and to no others."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, MonitorHandler):
            root.removeHandler(handler)
            handler.close()
    for monitor in monitors:
        root.addHandler(MonitorHandler(monitor))
    _apply_levels()


def _apply_levels() -> None:
    """Let through what any handler wants; libraries' own loggers stay at warnings unless something is traced."""
    levels = [handler.level for handler in logging.getLogger().handlers]
    level = min(levels, default=logging.INFO)
    logging.getLogger().setLevel(logging.WARNING if level > TRACE else level)
    logging.getLogger("agent").setLevel(level)


def syslog_facility(name: str) -> int:
    """The number of a syslog facility name such as LOCAL0.

    Raises ValueError for a name that is none.
    """
    from logging.handlers import SysLogHandler

    try:
        return SysLogHandler.facility_names[name.lower()]
    except KeyError:
        raise ValueError(f"invalid syslog facility: {name}") from None
