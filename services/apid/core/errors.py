"""Everything an endpoint may refuse with: one tree, each kind with its HTTP status (Consul 1.7: http.go, wrap).

`str(error)` is the answer's body. Consul's servers lose the kind of an error on its way to the agent that was asked:
what they refuse (`by_server`) arrives there as a server error that says so, once for each call it came through. What
the agent itself refuses before it asks a server is the same everywhere.
"""

from __future__ import annotations


class HttpError(Exception):
    """An answer that is not the endpoint's result. Without a kind of its own it is a server error."""

    status = 500
    by_server = True
    by_leader = True
    """False for what any server says before it would ask the leader."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        if status is not None:
            self.status = status
            self.by_server = False

    def after_calls(self, calls: int) -> tuple[int, str]:
        """Status and text for a client between whom and the refusing server lie so many calls."""
        if not calls or not self.by_server:
            return self.status, str(self)
        return (self.status if self.status == Forbidden.status else 500), CALL_PREFIX * calls + str(self)


class AnyServerError(HttpError):
    """A refusal of whichever server is asked, leader or not."""

    by_leader = False


class EndpointError(HttpError):
    """A server error of the endpoint itself, before any server is asked."""

    by_server = False


class BadRequest(HttpError):
    """The request itself is wrong; the text is sent as it is."""

    status = 400
    by_server = False


class PrefixedBadRequest(BadRequest):
    """The same, where Consul puts `Bad request: ` before the text."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Bad request: {text}")


class ServerBadRequest(PrefixedBadRequest):
    """A server's refusal that the endpoint takes for the request's fault."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def after_calls(self, calls: int) -> tuple[int, str]:
        return self.status, f"Bad request: {CALL_PREFIX * calls}{self.text}"


class KnownServerRefusal(PrefixedBadRequest):
    """The same for a refusal that an endpoint knows only when it comes without a call."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def after_calls(self, calls: int) -> tuple[int, str]:
        return (500, CALL_PREFIX * calls + self.text) if calls else (self.status, str(self))


class Forbidden(HttpError):
    """Permission denied, in one of its wordings."""

    status = 403


class ServerForbidden(Forbidden):
    """A server's refusal that the endpoint takes for a denied permission."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{PERMISSION_DENIED}: {text}")
        self.text = text

    def after_calls(self, calls: int) -> tuple[int, str]:
        return self.status, f"{PERMISSION_DENIED}: {CALL_PREFIX * calls}{self.text}"


class RootDenied(HttpError):
    """The token is the name of a built-in set of rights."""

    def __init__(self) -> None:
        super().__init__("Cannot resolve root ACL")


class NotFound(HttpError):
    """Something named in the request does not exist."""

    status = 404
    by_server = False


class ServerNotFound(NotFound):
    """The same, told by the server's error: an endpoint knows it only when it comes without a call."""

    by_server = True
    by_leader = True
    """False for what any server says before it would ask the leader."""


class BodyTooLarge(HttpError):
    status = 413
    by_server = False


class TooManyRequests(HttpError):
    status = 429


class MethodNotAllowed(HttpError):
    """The path exists, the method is not among `allowed`."""

    status = 405
    by_server = False

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"method {method} not allowed")
        self.allowed = allowed


class NoLeader(HttpError):
    """Nobody leads the cluster; worth trying again for a while."""

    def __init__(self, text: str = "No cluster leader") -> None:
        super().__init__(text)


class NoPathToDatacenter(AnyServerError):
    def __init__(self) -> None:
        super().__init__("No path to datacenter")


class NoServers(HttpError):
    """A client agent knows no server that answers."""

    by_server = False

    def __init__(self) -> None:
        super().__init__("No known Consul servers")


CALL_PREFIX = "rpc error making call: "
PERMISSION_DENIED = "Permission denied"
ACL_DISABLED = "ACL support disabled"
