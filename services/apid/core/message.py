"""One HTTP request and its answer, apart from any server or framework."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from apid.core.access import Ticket
from apid.core.parameters import parse_query

HeaderList: TypeAlias = list[tuple[bytes, bytes]]

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"
OCTETS = b"application/octet-stream"
# Added to a request that is passed on: the name of the node whose agent the client asked (for `near=_agent`).
AGENT_HEADER = b"x-lictor-agent"


class Request:
    """What was asked.

    `path` is percent-decoded once (bytes that are not UTF-8 as surrogate escapes), `target` the path and query as
    sent, `tail` what follows the route's pattern. Header names are lower case. `remote_address` is the client's IP,
    empty on a Unix socket. `ticket` keeps what the request may do, once that was asked.
    """

    __slots__ = (
        "_bearers",
        "_params",
        "body",
        "body_bytes",
        "calls",
        "headers",
        "hops",
        "internal",
        "method",
        "path",
        "query",
        "remote_address",
        "tail",
        "target",
        "ticket",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query: bytes,
        headers: HeaderList,
        body: bytes = b"",
        remote_address: str = "",
        target: bytes = b"",
        hops: int = 0,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.body_bytes = len(body)
        self.remote_address = remote_address
        self.target = target
        self.hops = hops
        self.calls = 0
        self.tail = ""
        self.internal = False
        self.ticket: Ticket | None = None
        self._params: dict[str, list[str]] | None = None
        self._bearers: dict[str, Request] | None = None

    @property
    def bearers(self) -> dict[str, Request]:
        """Requests that stand for this one with another token, by token."""
        if self._bearers is None:
            self._bearers = {}
        return self._bearers

    @property
    def params(self) -> dict[str, list[str]]:
        """Query parameters, decoded, in the order given."""
        if self._params is None:
            self._params = parse_query(self.query) if self.query else {}
        return self._params

    def has(self, name: str) -> bool:
        """Whether the parameter is there, with whatever value."""
        return bool(self.query) and name in self.params

    def get(self, name: str) -> str:
        """The parameter's first value, empty when it is absent."""
        if not self.query:
            return ""
        values = self.params.get(name)
        return values[0] if values else ""

    def header(self, name: bytes) -> str:
        """The first header of this (lower case) name, empty when it is absent."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return ""

    def asking_agent(self) -> str:
        """The name of the node whose agent passed this request on; empty when it came from a client of ours."""
        return self.header(AGENT_HEADER).encode("latin-1").decode("utf-8", "replace") if self.internal else ""

    def client_address(self) -> str:
        """The client's IP: what X-Forwarded-For begins with, else where the connection came from; empty if unknown."""
        for text in (self.header(b"x-forwarded-for").partition(",")[0].strip(), self.remote_address):
            try:
                return str(ipaddress.ip_address(text))
            except ValueError:
                continue
        return ""

    def token(self) -> str:
        """The ACL token: `?token=`, then X-Consul-Token, then a bearer token."""
        if self.query and (token := self.get("token")):
            return token
        authorization = ""
        for key, value in self.headers:
            if key == b"x-consul-token" and (token := value.decode("latin-1").strip()):
                return token
            if key == b"authorization" and not authorization:
                authorization = value.decode("latin-1")
        scheme, _, rest = authorization.partition(" ")
        return rest.strip().partition(" ")[0] if scheme.lower() == "bearer" else ""


NO_LEADER = (b"X-Consul-Knownleader", b"false")
CONTACT_NOW = (b"X-Consul-Lastcontact", b"0")
# What a failed read's headers say: an empty answer's meta data.
FAILED_META: HeaderList = [(b"X-Consul-Index", b"1"), NO_LEADER, CONTACT_NOW]


class Response:
    """The answer. `headers` hold neither Content-Length nor Date: the front end adds both.

    With `stream` the body is what the iterator gives, sent in chunks; `body` is then ignored. `plain` marks answers
    outside the API proper (unknown paths, redirects), which carry none of its common headers. `fresh` tells whether
    the same request would still get this very answer: only answers that have it are kept for the next one.
    """

    __slots__ = ("body", "fresh", "headers", "plain", "status", "stream")

    def __init__(
        self,
        status: int = 200,
        body: bytes = b"",
        content_type: bytes = b"",
        headers: HeaderList | None = None,
        stream: AsyncIterator[bytes] | None = None,
        plain: bool = False,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers if headers is not None else []
        if content_type:
            self.headers.append((b"Content-Type", content_type))
        self.stream = stream
        self.plain = plain
        self.fresh: Callable[[], bool] | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first header of this name in any case."""
        wanted = name.lower()
        for key, value in self.headers:
            if key.lower() == wanted:
                return value
        return None


Answer: TypeAlias = Response | Awaitable[Response]
Handler: TypeAlias = Callable[[Request], Answer]


def text_response(status: int, text: str, headers: HeaderList | None = None) -> Response:
    """A plain text answer; empty text carries no Content-Type."""
    return Response(status, text.encode("utf-8", "surrogateescape"), TEXT if text else b"", headers)
