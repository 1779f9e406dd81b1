"""What the leader answers before the log: commands that would surely be refused, and those it does not understand."""

import msgspec

from lictor.state.commands import decode_command, encode_result
from lictor.state.precheck import SESSION_TTL_MIN_NS, LockDelays, precheck
from raftd.proposals import Outcome, Proposal

_CHECKED_TAGS = (b"\xa2KV\xa4lock", b"\xa3Txn", b"\xadSessionCreate")


class Prechecks:
    """The leader's own tables; empty elsewhere."""

    def __init__(self) -> None:
        self.lock_delays = LockDelays()
        self.session_ttl_min_ns = SESSION_TTL_MIN_NS

    def passed(self, proposals: list[Proposal], applied_index: int, now_ns: int) -> list[Proposal]:
        """Answer at once what is refused before the log; returns the rest."""
        kept: list[Proposal] = []
        for proposal in proposals:
            answer = None
            if _may_be_refused(proposal.command):
                try:
                    command = decode_command(proposal.command)
                except msgspec.DecodeError as error:
                    text = f"command is not understood: {error}"
                    proposal.sink.answer(proposal.id, Outcome(0, b"", text))
                    continue
                answer = precheck(command, self.lock_delays, now_ns, self.session_ttl_min_ns)
            if answer is None:
                kept.append(proposal)
            else:
                proposal.sink.answer(proposal.id, Outcome(applied_index, encode_result(answer), ""))
        return kept


def _may_be_refused(command: bytes) -> bool:
    """Whether the pre-checks could refuse this kind of command; looks at its first bytes only."""
    return command.startswith(_CHECKED_TAGS, 1)
