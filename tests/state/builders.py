"""Short ways to commands, and a store that numbers them."""

from __future__ import annotations

from lictor.state import commands as c
from lictor.state.apply import apply
from lictor.state.memory import MemoryStore
from lictor.state.rows import Check, ConfigEntry, Node, Service, Session

SESSION = "11111111-0000-0000-0000-000000000000"
OTHER_SESSION = "22222222-0000-0000-0000-000000000000"


class Machine:
    """A store that applies commands at rising indexes, from 10 on."""

    def __init__(self) -> None:
        self.txn = MemoryStore()
        self.index = 9
        self.topics: set[str] = set()

    def __call__(self, command: c.AnyCommand) -> c.Result:
        self.index += 1
        result, self.topics = apply(self.txn, self.index, command)
        return result

    def register(
        self,
        node: str = "n1",
        service: Service | None = None,
        *checks: Check,
        node_id: str = "",
        address: str = "10.0.0.1",
    ) -> c.Result:
        return self(c.Register(Node(node_id, node, address, "dc1"), service, list(checks)))


def service(name: str, service_id: str = "", **fields: object) -> Service:
    return Service(node="", id=service_id or name, service=name, **fields)  # type: ignore[arg-type]


def check(check_id: str, status: str = "passing", service_id: str = "", node: str = "n1", output: str = "") -> Check:
    return Check(node, check_id, check_id, status, service_id=service_id, output=output)


def session(session_id: str = SESSION, behavior: str = "release", checks: list[str] | None = None) -> c.SessionCreate:
    return c.SessionCreate(Session(session_id, "", "n1", 15 * 10**9, behavior, "", checks))


def config(kind: str, name: str, **body: object) -> c.ConfigSet:
    return c.ConfigSet(ConfigEntry(kind, name, dict(body)))
