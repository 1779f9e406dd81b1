"""What a request is known to be allowed, and how a handler is told that it is not known yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lictor.state.grants import Grant

ACL_NOT_FOUND = "ACL not found"
RESOLVE_PATH = "/v1/internal/acl/resolve"
"""Where agents ask servers about tokens."""

Wait = Callable[[], Awaitable[None]]


class Unresolved(Exception):
    """What the request may do has to be found out first: await `wait` if there is one, then run the handler anew.

    Handlers ask for rights before they do anything that counts, so running them again does no harm.
    """

    def __init__(self, wait: Wait | None = None) -> None:
        super().__init__("the request's rights are not known yet")
        self.wait = wait


class Ticket:
    """One request's rights. `grant` is None until somebody asked, `refused` when its token turned out to be unknown.

    `confirmed`: the local state is known to be as new as the request. `remote`: the rights come from servers, which are
    not asked again before something `woke` the request. `changed`: they are others than when the request came, so
    that a blocking query is answered at once.
    """

    __slots__ = ("_renewed", "_unspent", "changed", "confirmed", "grant", "refused", "remote", "woke")

    def __init__(self, renewed: Callable[[], Grant | None]) -> None:
        """`renewed` says what the same request would be granted now; None when that is not known either."""
        self._renewed = renewed
        self._unspent = False
        self.grant: Grant | None = None
        self.refused = False
        self.remote = False
        self.woke = False
        self.confirmed = False
        self.changed = False

    def confirm(self) -> None:
        """The request has passed a barrier."""
        self.confirmed = self._unspent = True

    def spend(self) -> bool:
        """Whether a read may do without a barrier because the request has just passed one; only the first may."""
        unspent, self._unspent = self._unspent, False
        return unspent

    def holds(self) -> bool:
        """Whether the request would be granted the same now as when it asked."""
        if self.grant is None:
            return True
        now = self._renewed()
        return now is self.grant or (now is not None and now.authorizer is self.grant.authorizer)

    def check(self) -> None:
        """Has the handler run anew when the request's rights are others now. Raises Unresolved."""
        if self.remote and not self.woke:
            return
        self.woke = False
        if not self.holds():
            self.grant = None
            self.changed = True
            raise Unresolved
