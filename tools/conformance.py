"""`make conformance`: replays recorded exchanges with a real Consul 1.7.2 against fresh agents, file by file.

The recordings are not part of this repository: LICTOR_CONFORMANCE names their folder (default: ../shared/conformance
beside the checkout). Each file says in `agent` which kind of agent it expects. Options: `--lane off` sends every
request through FastAPI, file names pick files, `-v` shows every difference, everything after `--` goes to the replayer.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tools.agents import CONSUL, ROOT, Agent, make_agent, running, temporary_folder, wait_until

DEFAULT_FOLDER = ROOT.parent / "shared" / "conformance"
ACL_TOKEN = "6b1f0c3a-5d2e-4c77-9a10-2f8e4d7c9b01"
COUNTS = re.compile(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?")
FILE_TIMEOUT_S = 300


def agent_for(kind: str, recordings: Path, folder: Path, lane: str) -> Agent:
    """A server named n1 as the recordings expect it."""
    files = () if kind == "default" else (recordings / "config" / f"{kind}.json",)
    config = {"http_config": {"fast_lane": lane == "on"}} if lane == "off" else {}
    return make_agent(folder, "n1", "-server", "-bootstrap-expect=1", config=config, config_files=files)


def replay(case_file: Path, agent: Agent, kind: str, extra: list[str]) -> tuple[int, int, str]:
    """Runs the replayer on one file; returns passed and failed steps and its output."""
    argv = [sys.executable, str(case_file.parent.parent / "replay.py"), "--http", agent.http, "--dns", agent.dns]
    argv += ["--consul", str(CONSUL), *(["--token", ACL_TOKEN] if kind == "acl" else []), *extra, str(case_file)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=FILE_TIMEOUT_S, check=False)
        output = done.stdout + done.stderr
    except subprocess.TimeoutExpired as late:
        return 0, 1, f"no end within {FILE_TIMEOUT_S} s: {(late.stdout or b'').decode(errors='replace')}"
    counts = COUNTS.findall(output)
    passed, failed = (int(counts[-1][0]), int(counts[-1][1])) if counts else (0, 1)
    return passed, failed, output


def ready(agent: Agent) -> None:
    """Waits until the agent has written its own node into the catalog."""

    def node_is_complete() -> bool:
        answer = agent.get("/v1/catalog/node/n1")
        return bool(answer and answer["Node"].get("TaggedAddresses"))

    wait_until("the agent's node is in the catalog", node_is_complete, 60)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("files", nargs="*", help="case files by name, e.g. kv catalog; default: all")
    parser.add_argument("--lane", choices=("on", "off"), default="on")
    parser.add_argument("-v", action="store_true", dest="verbose")
    arguments, extra = parser.parse_known_args()
    extra = [option for option in extra if option != "--"]
    recordings = Path(os.environ.get("LICTOR_CONFORMANCE", DEFAULT_FOLDER))
    if not (recordings / "replay.py").exists():
        print(f"No recordings at {recordings}: set LICTOR_CONFORMANCE to the folder that holds replay.py and cases/.")
        return 2
    total_passed = total_failed = 0
    for case_file in sorted((recordings / "cases").glob("*.json")):
        if arguments.files and case_file.stem not in arguments.files:
            continue
        kind = json.loads(case_file.read_bytes()).get("agent", "default")
        with temporary_folder("lictor-conformance-") as folder:
            agent = agent_for(kind, recordings, folder, arguments.lane)
            try:
                with running(agent):
                    if kind in ("default", "full"):
                        ready(agent)
                    passed, failed, output = replay(case_file, agent, kind, extra)
            except (TimeoutError, OSError) as error:
                passed, failed, output = 0, 1, f"{error}\n{agent.log()[-3000:]}"
        total_passed += passed
        total_failed += failed
        print(f"{case_file.stem:12} {passed:5} passed {failed:5} failed", flush=True)
        if arguments.verbose or extra:
            print(output, flush=True)
    print(f"{total_passed} passed, {total_failed} failed")
    return 1 if total_failed else 0


if __name__ == "__main__":
    sys.exit(main())
