"""Why the core refuses an input. All leave the core unchanged."""


class RaftError(Exception):
    """Base of every expected refusal."""


class NotLeaderError(RaftError):
    """Only the leader takes this; `leader_id` is where to go, or "" when unknown."""

    def __init__(self, leader_id: str) -> None:
        super().__init__(f"node is not the leader (leader: {leader_id or 'unknown'})")
        self.leader_id = leader_id


class TransferInProgressError(RaftError):
    """The leader is handing its leadership over and takes no proposals meanwhile (dissertation 3.10)."""


class UncommittedLimitError(RaftError):
    """Too many bytes are proposed and not yet committed; retry later."""


class EntryTooLargeError(RaftError):
    """A single proposal exceeds `RaftConfig.entry_max_bytes`."""


class TooManyReadsError(RaftError):
    """More reads wait for confirmation than `RaftConfig.reads_max`."""


class NoLeaderError(RaftError):
    """A read cannot be forwarded, because no leader is known."""


class ConfigurationChangeError(RaftError):
    """A membership change was refused: one is pending, it names an unknown server, or it would leave no voter."""


class TransferTargetError(RaftError):
    """There is no such voter to hand leadership to."""


class AlreadyBootstrappedError(RaftError):
    """Bootstrap is only for a server whose log is empty and which has never voted."""


class CorruptConfigurationError(RaftError):
    """An encoded configuration cannot be read."""
