"""The history of configurations: the newest appended one counts, committed or not (Raft dissertation 4.1)."""

from raftd.core.configuration import ChangeKind, Configuration, ConfigurationChange, Server
from raftd.core.entry import Entry
from raftd.core.errors import ConfigurationChangeError
from raftd.core.snapshot import SnapshotMeta


class Membership:
    """Configurations by the index of their entry, oldest first; there is always at least one."""

    def __init__(self, snapshot: SnapshotMeta | None, entries: list[Entry]) -> None:
        self._history: list[tuple[int, Configuration]] = [(0, Configuration())]
        self.voters: tuple[str, ...] = ()
        self.changed = False
        """Set when another configuration came into force; whoever reports it clears it."""
        if snapshot is not None:
            self.reset(snapshot)
        for entry in entries:
            self.append(entry)

    @property
    def current(self) -> Configuration:
        """The configuration in force."""
        return self._history[-1][1]

    @property
    def current_index(self) -> int:
        """Index of its entry; 0 when there is none."""
        return self._history[-1][0]

    def append(self, entry: Entry) -> None:
        """A CONFIGURATION entry was appended; one that the snapshot already covers is ignored."""
        if entry.index > self.current_index:
            self._history.append((entry.index, Configuration.decode(entry.data)))
            self._note_change()

    def cut(self, index: int) -> None:
        """Entries at `index` and after were cut off the log: fall back to what was in force before."""
        while len(self._history) > 1 and self.current_index >= index:
            self._history.pop()
            self._note_change()

    def compact(self, index: int) -> None:
        """Forget configurations that had been replaced by `index`."""
        while len(self._history) > 1 and self._history[1][0] <= index:
            del self._history[0]

    def reset(self, snapshot: SnapshotMeta) -> None:
        """A snapshot replaced everything."""
        self._history = [(snapshot.configuration_index, snapshot.configuration)]
        self._note_change()

    def at(self, index: int) -> tuple[Configuration, int]:
        """The configuration in force at `index`, and the index of its entry."""
        for entry_index, configuration in reversed(self._history):
            if entry_index <= index:
                return configuration, entry_index
        raise AssertionError(f"configuration at {index} is forgotten; oldest known is {self._history[0][0]}")

    def may_be_voter(self, server_id: str, committed_index: int) -> bool:
        """Whether the server votes in any configuration that may be the committed one, when `committed_index` is
        known to be committed."""
        _, oldest = self.at(committed_index)
        return any(configuration.is_voter(server_id) for index, configuration in self._history if index >= oldest)

    def _note_change(self) -> None:
        self.voters = self.current.voters
        self.changed = True


def change_configuration(configuration: Configuration, change: ConfigurationChange) -> Configuration:
    """Apply one single-server change. Raises `ConfigurationChangeError` when it makes no sense."""
    member = configuration.get(change.server_id)
    others = tuple(server for server in configuration.servers if server.id != change.server_id)
    match change.kind:
        case ChangeKind.ADD_VOTER | ChangeKind.ADD_NONVOTER:
            address = change.address or (member.address if member else "")
            if not address or not change.server_id:
                raise ConfigurationChangeError("a server to add needs an id and an address")
            taken = next((server.id for server in others if server.address == address), None)
            if taken is not None:
                raise ConfigurationChangeError(f"address {address} belongs to server {taken}")
            voter = change.kind == ChangeKind.ADD_VOTER or (member is not None and member.voter)
            changed = Configuration((*others, Server(change.server_id, address, voter)))
        case ChangeKind.DEMOTE:
            if member is None:
                raise ConfigurationChangeError(f"server {change.server_id} is not a member")
            changed = Configuration((*others, Server(member.id, member.address, False)))
        case ChangeKind.REMOVE:
            if member is None:
                raise ConfigurationChangeError(f"server {change.server_id} is not a member")
            changed = Configuration(others)
    if not changed.voters:
        raise ConfigurationChangeError("the cluster would be left without a voter")
    return changed
