"""Everything an endpoint may refuse with: one tree, each kind with its HTTP status (Consul 1.7: http.go, wrap).

`str(error)` is the answer's body.
"""

from __future__ import annotations


class HttpError(Exception):
    """An answer that is not the endpoint's result. Without a kind of its own it is a server error."""

    status = 500

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        if status is not None:
            self.status = status


class BadRequest(HttpError):
    """The request itself is wrong; the text is sent as it is."""

    status = 400


class PrefixedBadRequest(BadRequest):
    """The same, where Consul puts `Bad request: ` before the text."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Bad request: {text}")


class Forbidden(HttpError):
    """Permission denied, in one of its wordings."""

    status = 403


class RootDenied(HttpError):
    """The token is the name of a built-in set of rights."""

    def __init__(self) -> None:
        super().__init__("Cannot resolve root ACL")


class NotFound(HttpError):
    """Something named in the request does not exist."""

    status = 404


class BodyTooLarge(HttpError):
    status = 413


class TooManyRequests(HttpError):
    status = 429


class MethodNotAllowed(HttpError):
    """The path exists, the method is not among `allowed`."""

    status = 405

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"method {method} not allowed")
        self.allowed = allowed


class NoLeader(HttpError):
    """Nobody leads the cluster; worth trying again for a while."""

    def __init__(self, text: str = "No cluster leader") -> None:
        super().__init__(text)


class NoPathToDatacenter(HttpError):
    def __init__(self) -> None:
        super().__init__("No path to datacenter")


class NoServers(HttpError):
    """A client agent knows no server that answers."""

    def __init__(self) -> None:
        super().__init__("No known Consul servers")


PERMISSION_DENIED = "Permission denied"
ACL_DISABLED = "ACL support disabled"
