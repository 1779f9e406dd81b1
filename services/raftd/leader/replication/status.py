"""How the replication of access control goes, as /v1/acl/replication shows it (Consul 1.7: acl_replication.go)."""

from dataclasses import dataclass, field

POLICIES, ROLES, TOKENS = "acl-policies", "acl-roles", "acl-tokens"
SECOND_NS = 1_000_000_000
STATUS_CALL = "acl.replication_status"
"""The name of the call that shows it."""


@dataclass(slots=True)
class AclReplicationStatus:
    """Times in nanoseconds since 1970, rounded to seconds; 0: never. Indexes are those of the primary datacenter."""

    enabled: bool = False
    running: bool = False
    source_datacenter: str = ""
    replication_type: str = ""
    indexes: dict[str, int] = field(default_factory=dict)
    last_success_ns: int = 0
    last_error_ns: int = 0

    def started(self, primary: str, with_tokens: bool) -> None:
        """Replication begins anew. Roles come with the policies and are no type of their own."""
        self.indexes.clear()
        self.last_success_ns = self.last_error_ns = 0
        self.enabled = self.running = True
        self.source_datacenter = primary
        self.replication_type = "tokens" if with_tokens else "policies"

    def stopped(self) -> None:
        """This server does not lead any more."""
        self.running = False

    def succeeded(self, kind: str, index: int, now_ns: int) -> None:
        """A kind is as it was in the primary datacenter at its index."""
        self.indexes[kind] = index
        self.last_success_ns = _rounded(now_ns)

    def failed(self, now_ns: int) -> None:
        """A round ended in an error."""
        self.last_error_ns = _rounded(now_ns)

    def shown(self) -> dict[str, object]:
        """The call's answer; times as nanoseconds."""
        return {
            "Enabled": self.enabled,
            "Running": self.running,
            "SourceDatacenter": self.source_datacenter,
            "ReplicationType": self.replication_type,
            "ReplicatedIndex": self.indexes.get(POLICIES, 0),
            "ReplicatedRoleIndex": self.indexes.get(ROLES, 0),
            "ReplicatedTokenIndex": self.indexes.get(TOKENS, 0),
            "LastSuccess": self.last_success_ns,
            "LastError": self.last_error_ns,
        }


def _rounded(now_ns: int) -> int:
    return (now_ns + SECOND_NS // 2) // SECOND_NS * SECOND_NS
