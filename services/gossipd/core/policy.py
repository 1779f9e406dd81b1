"""Who may be in a pool: Consul's rules for LAN and WAN as objects, and one without rules (Consul 1.7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

SERVER_ROLE = "consul"
CLIENT_ROLE = "node"


class Candidate(NamedTuple):
    """A member that wants in."""

    name: str
    tags: dict[str, str]


class Policy(Protocol):
    """Judges candidates."""

    def refusal(self, candidates: Sequence[Candidate]) -> str | None:
        """Why they may not come in, naming the first that is wrong; None when they may."""


def is_server(tags: dict[str, str]) -> bool:
    """Whether these are the tags of a Consul server: its role, and a version of three parts."""
    return tags.get("role") == SERVER_ROLE and tags.get("build", "").partition(":")[0].count(".") == 2


@dataclass(frozen=True, slots=True)
class OpenPolicy:
    """Everybody may come."""

    def refusal(self, candidates: Sequence[Candidate]) -> str | None:
        return None


@dataclass(frozen=True, slots=True)
class LanPolicy:
    """Members of one datacenter and segment, no two with one node ID. Strangers without a role are tolerated."""

    node_name: str
    node_id: str
    datacenter: str
    segment: str = ""

    def refusal(self, candidates: Sequence[Candidate]) -> str | None:
        names: dict[str, str] = {}
        for name, tags in candidates:
            if node_id := tags.get("id", ""):
                if node_id == self.node_id and name != self.node_name:
                    return f"Member '{name}' has conflicting node ID '{node_id}' with this agent's ID"
                if names.setdefault(node_id, name) != name:
                    return f"Member '{name}' has conflicting node ID '{node_id}' with member '{names[node_id]}'"
            if tags.get("role") in (SERVER_ROLE, CLIENT_ROLE) and tags.get("dc") != self.datacenter:
                return f"Member '{name}' part of wrong datacenter '{tags.get('dc', '')}'"
            if (segment := tags.get("segment", "")) != self.segment:
                return f"Member '{name}' part of wrong segment '{segment}' (expected '{self.segment}')"
        return None


@dataclass(frozen=True, slots=True)
class WanPolicy:
    """Servers only."""

    def refusal(self, candidates: Sequence[Candidate]) -> str | None:
        for name, tags in candidates:
            if not is_server(tags):
                return f"Member '{name}' is not a server"
        return None
