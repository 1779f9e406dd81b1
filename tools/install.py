"""`make install`: what runs, the units and the examples, copied below DESTDIR for use at PREFIX.

The packages are those of the virtual environment, the ones that tests ran with; no registry is asked.

    <prefix>/lib/lictor/python/     the packages, compiled
    <prefix>/lib/lictor/            handlers (nginx-upstream)
    <prefix>/bin/                   consul, lictor, raftd, gossipd, apid, dnsd, checkd
    <prefix>/lib/systemd/system/    units, and sysusers.d for their user
    <prefix>/share/doc/lictor/      documents and the examples of deploy/
    /etc/consul.d/                  made, left empty (<prefix>/etc/consul.d for another prefix than /usr)
"""

from __future__ import annotations

import argparse
import compileall
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "lictor"
OWN_PACKAGES = ("lib/lictor", *(f"services/{name}" for name in ("raftd", "gossipd", "apid", "dnsd", "checkd")))
SKIPPED = shutil.ignore_patterns("__pycache__", "*.pyc", ".generated")
SHIPPED_PREFIX = "/usr"
LAUNCHER = """#!{interpreter} -I
import sys

sys.path.insert(0, "{packages}")
from {module} import {function}

sys.exit({function}())
"""


class Refused(Exception):
    """It cannot be installed; the text says why."""


def requirements() -> Iterator[metadata.Distribution]:
    """What the project needs to run, and what that needs, each once."""
    from packaging.requirements import Requirement

    seen: set[str] = set()
    waiting = [PROJECT]
    while waiting:
        name = waiting.pop()
        distribution = metadata.distribution(name)
        for text in distribution.requires or ():
            requirement = Requirement(text)
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            key = requirement.name.lower().replace("_", "-")
            if wanted and key not in seen:
                seen.add(key)
                waiting.append(requirement.name)
        if name != PROJECT:
            yield distribution


def copy_packages(target: Path) -> None:
    """The project's own packages and what they need."""
    for package in OWN_PACKAGES:
        source = ROOT / package
        shutil.copytree(source, target / source.name, ignore=SKIPPED)
    shutil.copytree(ROOT / "ui", target / "lictor" / "ui", ignore=SKIPPED)
    for distribution in requirements():
        for path in distribution.files or ():
            # Nothing of bin/, no compiled files, which are made anew.
            if ".." in path.parts or path.suffix == ".pyc":
                continue
            destination = target / path
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(path.locate()), destination)


def programs() -> Iterator[tuple[str, str, str]]:
    """Name, module and function of each console script."""
    for entry in metadata.distribution(PROJECT).entry_points:
        if entry.group == "console_scripts":
            yield entry.name, entry.module, entry.attr


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def check_interpreter(interpreter: str) -> None:
    """Compiled packages run with the Python version that they were installed for only. Raises Refused."""
    wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
    question = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        found = subprocess.run([interpreter, "-c", question], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise Refused(f"{interpreter} does not run: {error}; name another with INTERPRETER=") from None
    if found != wanted:
        raise Refused(f"{interpreter} is Python {found}, the packages are for {wanted}; name another with INTERPRETER=")


def install(destdir: Path, prefix: str, interpreter: str) -> None:
    """Copy everything. What an earlier install put under lib/lictor is replaced, /etc is never written over."""
    base = destdir / prefix.lstrip("/")
    configuration = "/etc/consul.d" if prefix == SHIPPED_PREFIX else f"{prefix}/etc/consul.d"
    library = base / "lib" / PROJECT
    shutil.rmtree(library, ignore_errors=True)
    copy_packages(library / "python")
    compileall.compile_dir(library / "python", quiet=2, stripdir=str(destdir) if str(destdir) != "/" else None)
    for name, module, function in programs():
        packages = f"{prefix}/lib/{PROJECT}/python"
        text = LAUNCHER.format(interpreter=interpreter, packages=packages, module=module, function=function)
        write(base / "bin" / name, text, 0o755)
    handler = (ROOT / "deploy" / "nginx" / "nginx_upstream.py").read_text()
    write(library / "nginx-upstream", handler.replace("/usr/bin/env python3", interpreter, 1), 0o755)
    for unit in (*(ROOT / "deploy" / "systemd").glob("*.*"), ROOT / "deploy" / "nginx" / "lictor-nginx@.service"):
        if unit.suffix in (".service", ".target"):
            text = re.sub(rf"{SHIPPED_PREFIX}/(bin|lib|share)/", rf"{prefix}/\1/", unit.read_text())
            text = text.replace("/etc/consul.d", configuration)
            write(base / "lib" / "systemd" / "system" / unit.name, text)
        elif unit.suffix == ".sysusers":
            write(base / "lib" / "sysusers.d" / f"{PROJECT}.conf", unit.read_text())
    documents = base / "share" / "doc" / PROJECT
    for name in ("README.md", "README.zh-CN.md", "LICENSE", "CHANGELOG.md"):
        write(documents / name, (ROOT / name).read_text())
    for readme in ROOT.glob("services/*/README.md"):
        write(documents / f"{readme.parent.name}.md", readme.read_text())
    shutil.copytree(ROOT / "deploy", documents / "examples", dirs_exist_ok=True, ignore=SKIPPED)
    (destdir / configuration.lstrip("/")).mkdir(parents=True, exist_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="installs Lictor")
    parser.add_argument("--destdir", default="", help="the folder that stands for /")
    parser.add_argument("--prefix", default=SHIPPED_PREFIX)
    parser.add_argument("--interpreter", default="/usr/bin/python3", help="the Python that runs it")
    options = parser.parse_args()
    destdir = Path(options.destdir or "/").resolve()
    # Files are for every user to read, whatever the umask.
    os.umask(0o022)
    try:
        check_interpreter(options.interpreter)
        install(destdir, options.prefix.rstrip("/"), options.interpreter)
    except (Refused, OSError) as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    print(f"Installed below {destdir / options.prefix.lstrip('/')}. Next: systemd-sysusers, systemctl daemon-reload.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
