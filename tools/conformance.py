"""`make conformance`: replays recorded exchanges with a real Consul 1.7.2 against fresh agents, file by file.

The recordings are not part of this repository: LICTOR_CONFORMANCE names their folder (default: ../shared/conformance
beside the checkout). Each file says in `agent` which kind of agent it expects. Options: `--lane off` sends every
request through FastAPI, file names pick files, `-v` shows every difference, everything after `--` goes to the replayer.

`--via follower` asks a server n1 that follows n2 (with n3 as third); `--via client` a client agent n1 of the server n2.
All files but those of NOT_VIA are played; where an answer depends on what n1 is, tools/conformance_via.py says what is
expected instead, and which steps these are is printed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import urllib.error
from pathlib import Path

from tools.agents import CONSUL, ROOT, Agent, make_agent, running, temporary_folder, wait_until
from tools.conformance_via import adapt

DEFAULT_FOLDER = ROOT.parent / "shared" / "conformance"
ACL_TOKEN = "6b1f0c3a-5d2e-4c77-9a10-2f8e4d7c9b01"
COUNTS = re.compile(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?")
FILE_TIMEOUT_S = 300
VOTE_TIMEOUT_S = 120
"""The third server becomes a voter after the stabilization time, on a busy machine later."""
NOT_VIA = ("acl", "acl-fresh", "cli")
"""Every agent would need the tokens; about a program."""
PROMPT = {"performance": {"raft_multiplier": 1}, "retry_interval": "1s"}
STABLE_SOON = {"autopilot": {"server_stabilization_time": "1s"}}
"""Servers vote sooner; `operator` shows the setting."""


def agent_for(kind: str, recordings: Path, folder: Path, lane: str) -> Agent:
    """A server named n1 as the recordings expect it."""
    files = () if kind == "default" else (recordings / "config" / f"{kind}.json",)
    config = {"http_config": {"fast_lane": lane == "on"}} if lane == "off" else {}
    return make_agent(folder, "n1", "-server", "-bootstrap-expect=1", config=config, config_files=files)


def cluster_for(kind: str, via: str, recordings: Path, folder: Path, quick: bool = True) -> list[Agent]:
    """n1 first, which is asked, then the server it follows or is a client of, and a third server."""
    files = () if kind == "default" else (recordings / "config" / f"{kind}.json",)
    config = {**PROMPT, **(STABLE_SOON if quick else {})}

    def agent(name: str, *flags: str) -> Agent:
        return make_agent(folder / name, name, *flags, config=config, config_files=files)

    leader = agent("n2", "-server", "-bootstrap-expect=1")
    join = f"-retry-join={leader.lan}"
    if via == "client":
        return [agent("n1", join), leader]
    return [agent("n1", "-server", join), leader, agent("n3", "-server", join)]


def all_vote(agents: list[Agent]) -> None:
    """Waits until every server has its vote, and the asked one still follows."""
    leader = agents[1]

    def settled() -> bool:
        servers = leader.get("/v1/operator/raft/configuration")["Servers"]
        return [server["Voter"] for server in servers] == [True] * len(agents)

    wait_until("all servers vote", settled, VOTE_TIMEOUT_S)


def via_cases(via: str, case_file: Path, folder: Path) -> Path:
    """The file with what is expected through the other agent."""
    content = json.loads(case_file.read_bytes())
    for step in adapt(via, case_file.stem, content):
        print(f"{case_file.stem:12} depends on the node: {step}")
    made = folder / case_file.name
    made.write_text(json.dumps(content))
    return made


def replay(replayer: Path, case_file: Path, agent: Agent, kind: str, extra: list[str]) -> tuple[int, int, str]:
    """Runs the replayer on one file; returns passed and failed steps and its output."""
    argv = [sys.executable, str(replayer), "--http", agent.http, "--dns", agent.dns]
    argv += ["--consul", str(CONSUL), *(["--token", ACL_TOKEN] if kind == "acl" else []), *extra, str(case_file)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=FILE_TIMEOUT_S, check=False)
        output = done.stdout + done.stderr
    except subprocess.TimeoutExpired as late:
        return 0, 1, f"no end within {FILE_TIMEOUT_S} s: {(late.stdout or b'').decode(errors='replace')}"
    counts = COUNTS.findall(output)
    passed, failed = (int(counts[-1][0]), int(counts[-1][1])) if counts else (0, 1)
    return passed, failed, output


def ready(agents: list[Agent], token: str = "") -> None:
    """Waits until every agent has written its own node into the catalog."""

    def nodes_are_complete() -> bool:
        nodes = agents[0].get(f"/v1/catalog/nodes?token={token}")
        return len(nodes) == len(agents) and all(node.get("TaggedAddresses") for node in nodes)

    wait_until("the agents' nodes are in the catalog", nodes_are_complete, 60)


def strangers_are_known(agent: Agent) -> None:
    """Waits until the leader has made the token of requests without one, its last record at the start."""

    def refused_by_rights() -> bool:
        try:
            agent.get("/v1/acl/tokens")
        except urllib.error.HTTPError as refused:
            return refused.read() == b"Permission denied"
        return True

    wait_until("requests without a token are refused by their rights", refused_by_rights, 60)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("files", nargs="*", help="case files by name, e.g. kv catalog; default: all")
    parser.add_argument("--lane", choices=("on", "off"), default="on")
    parser.add_argument("--via", choices=("follower", "client"), default="")
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
        if arguments.via and case_file.stem in NOT_VIA:
            print(f"{case_file.stem:12} left out: not for --via")
            continue
        kind = json.loads(case_file.read_bytes()).get("agent", "default")
        with temporary_folder("lictor-conformance-") as folder:
            if arguments.via:
                agents = cluster_for(kind, arguments.via, recordings, folder, case_file.stem != "operator")
                cases = via_cases(arguments.via, case_file, folder)
            else:
                agents, cases = [agent_for(kind, recordings, folder, arguments.lane)], case_file
            agent = agents[0]
            try:
                with running(*agents):
                    if arguments.via == "follower":
                        all_vote(agents)
                    if kind == "acl-fresh":
                        strangers_are_known(agent)
                    else:
                        ready(agents, ACL_TOKEN if kind == "acl" else "")
                    passed, failed, output = replay(recordings / "replay.py", cases, agent, kind, extra)
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
