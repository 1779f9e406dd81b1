#!/usr/bin/env python3
"""A handler for `consul watch` that keeps one nginx upstream as the catalog says, and reloads nginx when it changed.

    consul watch -type=service -service=web -passingonly=true \
        /usr/lib/lictor/nginx-upstream --file=/etc/nginx/upstreams/web.conf web

Reads the instances (JSON, as /v1/health/service gives them) from standard input. Rules:

* The file is replaced as a whole, never half written; what nginx refuses is taken back.
* The same servers again, in whatever order: nothing is written, nothing reloaded.
* No servers: the last known ones stay, since a list is empty more often by mistake than on purpose. With --empty=down,
  or where there never was a server, nginx answers 502.
* All handlers on a host together reload at most once in --interval seconds. What changes meanwhile comes in one.

Exit code 0; 1 when nginx refused the file or the reload, whose next change then tries again; 2 for wrong input.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COMMAND_TIMEOUT_S = 30
NO_SERVER = "    server 127.0.0.1:9 down;"
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_HOST = re.compile(r"[A-Za-z0-9_.:-]+")


def servers(entries: list[dict[str, Any]]) -> list[str]:
    """The lines for nginx, in an order that depends on nothing but the servers."""
    found = set()
    for entry in entries:
        service = entry["Service"]
        host = service.get("Address") or entry["Node"]["Address"]
        weight = (service.get("Weights") or {}).get("Passing", 1)
        if not _HOST.fullmatch(host) or not 0 < int(service["Port"]) < 65536 or weight < 1:
            print(f"left out, no address for nginx: {service.get('ID')} {host}:{service['Port']}", flush=True)
            continue
        address = f"[{host}]" if ":" in host else host
        found.add(f"    server {address}:{int(service['Port'])} weight={int(weight)};")
    return sorted(found)


def upstream(name: str, lines: list[str]) -> str:
    """The whole file."""
    body = "\n".join(lines or [NO_SERVER])
    return f"# Written by nginx-upstream from the catalog. Do not edit.\nupstream {name} {{\n{body}\n}}\n"


def replace(path: Path, text: str | None) -> None:
    """Put the text in the file's place at once; None removes it."""
    if text is None:
        path.unlink()
        return
    fresh = path.with_name(f".{path.name}.new")
    with open(fresh, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def succeeds(command: str) -> bool:
    """Run it; what it prints is shown when it fails."""
    try:
        done = subprocess.run(
            shlex.split(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{command}: {error}", flush=True)
        return False
    if done.returncode:
        print(f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}", flush=True)
    return done.returncode == 0


@contextlib.contextmanager
def turn(lock: Path, interval_s: float) -> Iterator[None]:
    """Only one handler at a time, and so long after the last reload, whose time is the lock file's."""
    with open(lock, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        passed_s = time.time() - os.fstat(file.fileno()).st_mtime if file.tell() else interval_s
        time.sleep(min(max(interval_s - passed_s, 0), interval_s))
        yield
        file.write(".")
        file.truncate(1)
        os.utime(file.fileno())


def main() -> int:
    parser = argparse.ArgumentParser(description="keeps an nginx upstream as the catalog says")
    parser.add_argument("name", help="the upstream's name")
    parser.add_argument("--file", type=Path, required=True, help="the file to write, which nginx.conf includes")
    parser.add_argument("--empty", choices=("keep", "down"), default="keep", help="what an empty list means")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between reloads at least")
    parser.add_argument("--test", default="nginx -t -q", help="says whether nginx takes the file")
    parser.add_argument("--reload", default="nginx -s reload", help="makes nginx read it")
    options = parser.parse_args()
    if not _NAME.fullmatch(options.name):
        parser.error(f"not a name for an upstream: {options.name}")
    try:
        lines = servers(json.load(sys.stdin) or [])
    except (ValueError, KeyError, TypeError) as error:
        print(f"not a list of instances: {error!r}", flush=True)
        return 2
    path: Path = options.file
    text = upstream(options.name, lines)

    def changes() -> bool:
        before = path.read_text() if path.exists() else None
        return text != before and not (not lines and before is not None and options.empty == "keep")

    if not changes():
        return 0
    with turn(path.with_name(".nginx-upstream.lock"), options.interval):
        before = path.read_text() if path.exists() else None
        replace(path, text)
        if not succeeds(options.test) or not succeeds(options.reload):
            replace(path, before)
            print(f"{path} is as it was", flush=True)
            return 1
    print(f"{options.name}: {len(lines)} servers", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
