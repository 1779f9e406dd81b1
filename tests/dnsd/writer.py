"""A process that writes state files, as raftd does: LMDB opens an environment once per process, and dnsd reads it.

Takes JSON lines on standard input, each an object with the path of the state directory and what to register, or the
word to close it; answers each with a line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lictor.state.apply import apply
from lictor.state.commands import AnyCommand, Deregister, Done, PolicySet, Register, TokenDelete, TokenSet
from lictor.state.lmdb_store import LmdbStore, open_store
from lictor.state.rows import ACLPolicy, ACLToken, Check, Link, Node, Service


class Writer:
    """The state files that are open."""

    def __init__(self) -> None:
        self._stores: dict[str, tuple[LmdbStore, int]] = {}

    def do(self, order: dict[str, Any]) -> None:
        """One line."""
        path = str(order["path"])
        if order.get("close"):
            store, _ = self._stores.pop(path, (None, 0))
            if store is not None:
                store.close()
            return
        store, index = self._stores.get(path) or (open_store(Path(path)), 0)
        for command in commands(order):
            index += 1
            with store.write() as txn:
                result, _ = apply(txn, index, command)
            assert result == Done(), result
        self._stores[path] = store, index


def commands(order: dict[str, Any]) -> list[AnyCommand]:
    """What the line asks for."""
    made: list[AnyCommand] = []
    for entry in order.get("register", []):
        fields = entry.get("service")
        row = Service(entry["node"], **fields) if fields else None
        checks = [Check(entry["node"], **check) for check in entry.get("checks", [])]
        made.append(Register(Node("", entry["node"], entry["address"], "bj", None, entry.get("meta")), row, checks))
    gone = order.get("deregister", [])
    made += [Deregister(entry["node"], service_id=entry.get("service_id", "")) for entry in gone]
    for name, rules in order.get("policies", {}).items():
        made.append(PolicySet([ACLPolicy(name, name, rules=rules, syntax=2)]))
    for secret, names in order.get("tokens", {}).items():
        made.append(TokenSet([ACLToken(f"accessor-{secret}", secret, policies=[Link(each, each) for each in names])]))
    for secret in order.get("lost_tokens", []):
        made.append(TokenDelete([f"accessor-{secret}"]))
    return made


def main() -> None:
    """Until standard input ends."""
    writer = Writer()
    for line in sys.stdin:
        writer.do(json.loads(line))
        print("done", flush=True)


if __name__ == "__main__":
    main()
