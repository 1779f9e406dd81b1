"""What a recorded expectation becomes when another agent is asked than the one server of a cluster of one node.

Everything recorded is played through a follower (n1 follows n2, n3 is the third server) and through a client agent
(n1 of the server n2). An answer that tells how many nodes there are, or what kind of node n1 is, is another one there:
the tables say for each such step, by file, case and number, what is expected instead, and nothing is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

Step = dict[str, Any]
Edit = Callable[[Step], None]
"""Changes a step in place."""
StepName = tuple[str, str, int]

STALE_SETTLE_S = 5
"""A stale read and DNS may miss the write before them for a moment on a follower."""
SERVER_TAGS = ("port", "raft_vsn", "wan_join_port")


def among_others(*path: str | int) -> Edit:
    """The list is to hold the recorded elements and may hold those of the other nodes."""

    def edit(step: Step) -> None:
        holder, last = _place(step, path)
        holder[last] = {"<contains>": holder[last]}

    return edit


def becomes(value: Any, *path: str | int) -> Edit:
    """Another value is expected there."""

    def edit(step: Step) -> None:
        holder, last = _place(step, path)
        assert last in holder or isinstance(holder, list), f"nothing is expected at {path}"
        holder[last] = value

    return edit


def absent(*path: str | int) -> Edit:
    """Nothing is expected there."""

    def edit(step: Step) -> None:
        holder, last = _place(step, path)
        del holder[last]

    return edit


def about_the_server(step: Step) -> None:
    """The answer is about n2, the client agent's server."""
    step["expect"] = json.loads(json.dumps(step["expect"]).replace('"n1"', '"n2"'))


def names_the_server(step: Step) -> None:
    """The zone's name server is n2."""
    step["expect"] = json.loads(json.dumps(step["expect"]).replace("n1.node.", "n2.node."))


def names_all_servers(step: Step) -> None:
    """The zone's name servers are n1, n2 and n3."""
    dns = step["expect"]["dns"]
    for place in ("answer", "authority", "additional"):
        dns[place] = [
            line.replace("n1.node.", f"{name}.node.")
            for line in dns[place]
            for name in (("n1", "n2", "n3") if "n1.node." in line else ("n1",))
        ]


def of_a_client_agent(*path: str | int) -> Edit:
    """The tags there are a client agent's."""

    def edit(step: Step) -> None:
        holder, last = _place(step, path)
        tags = {name: value for name, value in holder[last].items() if name not in (*SERVER_TAGS, "bootstrap")}
        holder[last] = {**tags, "role": "node"}

    return edit


def _place(step: Step, path: tuple[str | int, ...]) -> tuple[Any, Any]:
    holder: Any = step["expect"]
    whole: tuple[str | int, ...] = ("json", *path)
    for part in whole[:-1]:
        holder = holder[part]
    return holder, whole[-1]


EMPTY_KEYRINGS = {
    "<re>": r"8 errors occurred:\n\t\* WAN error: 3/3 nodes(.|\n)*"
    r"\t\* bj \(LAN\) error: 3/3 nodes(.|\n)*not enabled\)\n\n"
}
UNKNOWN_AFTER_A_CALL = ("Query not found", "Intention not found")
CALL, BAD_REQUEST = "rpc error making call: ", "Bad request: "
NO_META = {"X-Consul-Index": "<index>", "X-Consul-KnownLeader": "false", "X-Consul-LastContact": "0"}
_PLACE = re.compile(r"(\$\{[^}]*\}|<[a-z]+>)")
NO_SERVER = "keyring operations must run against a server node"
CLIENT_STATISTICS = {"acl": "disabled", "known_servers": "1", "server": "false"}


def _text(text: Any) -> Edit:
    def edit(step: Step) -> None:
        step["expect"]["text"] = text

    return edit


ALL_NODES: Mapping[StepName, tuple[Edit, ...]] = {
    ("blocking", "consistency modes", 1): (among_others(),),
    ("blocking", "consistency modes", 2): (among_others(),),
    ("catalog", "datacenters and own node", 4): (among_others(),),
    # The other servers are not in maintenance.
    ("agent", "node maintenance", 4): (becomes("<any>"),),
    ("configured", "service from configuration", 2): (among_others(),),
}
FOLLOWER: Mapping[StepName, tuple[Edit, ...]] = {
    **{("dns", "negative answers", number): (names_all_servers,) for number in (8, 9, 11)},
    **ALL_NODES,
    ("agent", "self", 1): (
        absent("Member", "Tags", "bootstrap"),
        becomes("false", "Stats", "consul", "bootstrap"),
        becomes("false", "Stats", "consul", "leader"),
        becomes("Follower", "Stats", "raft", "<has>", "state"),
        becomes("2", "Stats", "raft", "<has>", "num_peers"),
        becomes("3", "Stats", "serf_lan", "<has>", "members"),
        becomes("3", "Stats", "serf_wan", "<has>", "members"),
    ),
    ("agent", "members", 1): (absent(0, "Tags", "bootstrap"), among_others()),
    ("agent", "members", 2): (absent(0, "Tags", "bootstrap"), among_others()),
    ("blocking", "consistency modes", 4): (among_others(),),
    ("blocking", "consistency modes", 5): (among_others(),),
    ("catalog", "datacenters and own node", 3): (among_others(),),
    ("health", "own node", 2): (among_others(),),
    ("health", "own node", 4): (among_others(),),
    ("operator", "raft configuration", 1): (becomes(False, "Servers", 0, "Leader"), among_others("Servers")),
    ("operator", "raft configuration", 2): (becomes(False, "Servers", 0, "Leader"), among_others("Servers")),
    ("operator", "autopilot health", 1): (
        becomes(1, "FailureTolerance"),
        becomes(False, "Servers", 0, "Leader"),
        becomes("<duration>", "Servers", 0, "LastContact"),
        among_others("Servers"),
    ),
    ("operator", "keyring without encryption", 1): (_text(EMPTY_KEYRINGS),),
    ("operator", "keyring without encryption", 2): (_text(EMPTY_KEYRINGS),),
    ("status", "leader and peers", 2): (among_others(),),
}
CLIENT: Mapping[StepName, tuple[Edit, ...]] = {
    **ALL_NODES,
    ("agent", "self", 1): (
        becomes(False, "Config", "Server"),
        becomes(False, "DebugConfig", "<has>", "ServerMode"),
        of_a_client_agent("Member", "Tags"),
        becomes(CLIENT_STATISTICS, "Stats", "consul"),
        becomes("2", "Stats", "serf_lan", "<has>", "members"),
        absent("Stats", "raft"),
        absent("Stats", "serf_wan"),
    ),
    ("agent", "members", 1): (of_a_client_agent(0, "Tags"), among_others()),
    ("agent", "members", 2): (becomes(None),),
    ("agent", "members", 3): (_text('segment "zz" not found'),),
    ("blocking", "consistency modes", 4): (about_the_server,),
    ("blocking", "consistency modes", 5): (about_the_server,),
    ("catalog", "datacenters and own node", 2): (becomes({}, "Services"),),
    ("catalog", "datacenters and own node", 3): (about_the_server,),
    **{("dns", "negative answers", number): (names_the_server,) for number in (8, 9, 11)},
    ("health", "own node", 2): (about_the_server,),
    ("health", "own node", 4): (about_the_server,),
    ("operator", "raft configuration", 1): (about_the_server,),
    ("operator", "raft configuration", 2): (about_the_server,),
    ("operator", "autopilot health", 1): (about_the_server,),
    **{("operator", "keyring without encryption", number): (_text(NO_SERVER),) for number in (1, 2, 3, 4)},
}
CHANGED: Mapping[str, Mapping[StepName, tuple[Edit, ...]]] = {"follower": FOLLOWER, "client": CLIENT}


def adapt(via: str, name: str, content: dict[str, Any]) -> list[str]:
    """Changes the cases of the file `name` in place; returns the steps concerned, as a reader would look them up."""
    changes = {step: edits for step, edits in CHANGED[via].items() if step[0] == name}
    changed = []
    for case in content["cases"]:
        for number, step in enumerate(case["steps"], 1):
            edits = changes.pop((name, case["name"], number), ())
            for edit in edits:
                edit(step)
            if edits:
                changed.append(f"{name} / {case['name']} / step {number}")
            _allow_call(step)
            if via == "follower" and _may_be_old(step):
                _allow_old(step)
    assert not changes, f"{name} has no steps {sorted(changes)}"
    return changed


def _allow_call(step: Step) -> None:
    """What a server refuses may say that it was called; an endpoint does not know two of these refusals again then."""
    expect = step.get("expect", {})
    text = expect.get("text")
    if not isinstance(text, str) or expect.get("status") not in (400, 403, 404, 500):
        return
    if expect["status"] == 404:
        if text not in UNKNOWN_AFTER_A_CALL:
            return
        expect["status"] = 500
        if "/v1/query/" in step["http"]:
            expect["headers"] |= NO_META
    start, rest = (BAD_REQUEST, text.removeprefix(BAD_REQUEST)) if text.startswith(BAD_REQUEST) else ("", text)
    # ${...} stands for a value of the run, <...> for one of a kind.
    parts = [
        part if part.startswith("${") else ".*" if part.startswith("<") else re.escape(part)
        for part in _PLACE.split(rest)
    ]
    expect["text"] = {"<re>": f"^{start}({CALL})?{''.join(parts)}$"}


def _may_be_old(step: Step) -> bool:
    return "dns" in step or ("stale" in step.get("http", "").partition("?")[2] and "consistent" not in step["http"])


def _allow_old(step: Step) -> None:
    step.setdefault("retry_for", STALE_SETTLE_S)
    expect = step.get("expect", {})
    for place, name in ((expect.get("headers"), "X-Consul-LastContact"), (expect.get("json"), "LastContact")):
        if isinstance(place, dict) and name in place:
            place[name] = "<int>"
