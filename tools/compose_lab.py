"""`make compose-lab`: builds the image and starts deploy/compose; `--down` ends it and removes its data."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "deploy" / "compose"
CONTEXT = ROOT / ".lab" / "image"
IMAGE = "lictor"
GUIDE = """
The lab runs. Look around:
  curl localhost:8080                    which instance of the web service answered
  http://localhost:8500/ui/              the web page
  {compose} up -d --scale web=6          six instances, then as many as you like; nginx follows
  {compose} exec bj1 consul members -wan
  {compose} stop bj2                     the others go on
  make compose-lab-down                  ends it and removes its data
"""


class Missing(Exception):
    """Something that the lab needs; the text says what to do."""


def compose() -> list[str]:
    """The command: the plugin of newer Dockers, or the program of its own. Raises Missing."""
    if shutil.which("docker") is None:
        raise Missing(
            "the program `docker` is missing: install docker.io and docker-compose, or run `make lab`, needing neither"
        )
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        command = ["docker", "compose"]
    elif shutil.which("docker-compose"):
        command = ["docker-compose"]
    else:
        raise Missing("`docker compose` and `docker-compose` are missing: install docker-compose")
    engine = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if engine.returncode:
        reason = (engine.stderr or engine.stdout).strip().splitlines()[-1]
        raise Missing(f"no Docker engine answers ({reason}): start it, or run `make lab`, which needs none")
    return [*command, "-f", str(FOLDER / "docker-compose.yml"), "-p", "lictor"]


def build(base: str) -> None:
    """The image, on top of `base` (empty: the Dockerfile's own choice)."""
    shutil.rmtree(CONTEXT, ignore_errors=True)
    CONTEXT.mkdir(parents=True)
    subprocess.run(["make", "-C", str(ROOT), "install", f"DESTDIR={CONTEXT / 'root'}"], check=True)
    arguments = ["--build-arg", f"BASE={base}"] if base else []
    subprocess.run(
        ["docker", "build", "-q", "-t", IMAGE, *arguments, "-f", str(FOLDER / "Dockerfile"), str(CONTEXT)], check=True
    )
    shutil.rmtree(CONTEXT)


def main() -> int:
    parser = argparse.ArgumentParser(description="the walk-through's cluster in containers")
    parser.add_argument("--down", action="store_true", help="end it and remove its data")
    base = os.environ.get("LICTOR_BASE_IMAGE", "")
    parser.add_argument(
        "--base", default=base, help="the image to build on (default: LICTOR_BASE_IMAGE, else Debian's)"
    )
    options = parser.parse_args()
    try:
        command = compose()
        if options.down:
            return subprocess.run([*command, "down", "--volumes"], check=False).returncode
        build(options.base)
        subprocess.run([*command, "up", "-d"], check=True)
    except Missing as missing:
        print(f"compose-lab: {missing}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    print(GUIDE.format(compose=" ".join(command)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
