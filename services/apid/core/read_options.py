"""What a reading request asks for: consistency, blocking, caching (Consul 1.7: http.go, parseInternal).

The order of the checks decides which error is told, and is Consul's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from apid.core.access import Ticket
from apid.core.errors import BadRequest
from apid.core.message import Request
from apid.core.parameters import parse_int, parse_uint
from lictor.state.gotext import parse_duration_ns
from lictor.state.gotext import quote as go_quote

SECOND_NS = 1_000_000_000
DISCOVERY_PATHS = ("/v1/catalog", "/v1/health")
INDEX_WAIT_FRACTION = 16


@dataclass(frozen=True, slots=True)
class CacheControl:
    """The `Cache-Control` header. None where the directive is absent."""

    max_age_ns: int | None = None
    must_revalidate: bool = False
    stale_if_error_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """One read. `min_index` above 0 blocks until the result's index exceeds it, for at most `wait_ns` (0: default).

    With a `ticket` it only goes on for as long as the request's rights stay what they were.
    """

    stale: bool = False
    consistent: bool = False
    cached: bool = False
    max_stale_ns: int = 0
    min_index: int = 0
    wait_ns: int = 0
    cache_control: CacheControl = CacheControl()
    ticket: Ticket | None = None

    @property
    def level(self) -> str:
        """The name in X-Consul-Effective-Consistency."""
        return "stale" if self.stale else "consistent" if self.consistent else "leader"


DEFAULT = ReadRequest()


def parse_read(request: Request, discovery_max_stale_ns: int = 0) -> ReadRequest:
    """The request's read options. Errors: BadRequest."""
    options = parse_consistency(request, discovery_max_stale_ns)
    if not request.query:
        return options
    wait_ns, min_index = parse_wait(request)
    return replace(options, min_index=min_index, wait_ns=wait_ns) if wait_ns or min_index else options


def parse_consistency(request: Request, discovery_max_stale_ns: int = 0) -> ReadRequest:
    """The options of a read that does not block. Errors: BadRequest."""
    cache_control = _cache_header(request)
    if not request.query and not cache_control and not discovery_max_stale_ns:
        return DEFAULT
    stale, consistent, cached = request.has("stale"), request.has("consistent"), request.has("cached")
    defaults = not (stale or consistent or cached or request.has("leader"))
    max_stale_ns = 0
    if text := request.get("max_stale"):
        try:
            max_stale_ns = parse_duration_ns(text)
        except ValueError:
            raise BadRequest(f"Invalid max_stale value {go_quote(text)}") from None
        if max_stale_ns > 0:
            stale, defaults = True, False
    if defaults and discovery_max_stale_ns > 0 and request.path.startswith(DISCOVERY_PATHS):
        stale, max_stale_ns = True, discovery_max_stale_ns
    if stale and consistent:
        raise BadRequest("Cannot specify ?stale with ?consistent, conflicting semantics.")
    if cached and consistent:
        raise BadRequest("Cannot specify ?cached with ?consistent, conflicting semantics.")
    return ReadRequest(stale, consistent, cached, max_stale_ns, cache_control=parse_cache_control(cache_control))


def parse_wait(request: Request) -> tuple[int, int]:
    """`wait` in nanoseconds and `index`, 0 where absent. Errors: BadRequest."""
    wait_ns = min_index = 0
    if text := request.get("wait"):
        try:
            wait_ns = parse_duration_ns(text)
        except ValueError:
            raise BadRequest("Invalid wait time") from None
    if text := request.get("index"):
        try:
            min_index = parse_uint(text)
        except ValueError:
            raise BadRequest("Invalid index") from None
    return wait_ns, min_index


def _cache_header(request: Request) -> str:
    for name, value in request.headers:
        if name == b"cache-control":
            return value.decode("latin-1").lower()
    return ""


def parse_cache_control(header: str) -> CacheControl:
    """Errors: BadRequest for a number that is none."""
    if not header:
        return CacheControl()
    max_age_ns = stale_if_error_ns = None
    must_revalidate = False
    for directive in header.split(","):
        name, valued, value = directive.strip().partition("=")
        if directive.strip() == "must-revalidate":
            must_revalidate = True
        elif valued and name == "max-age":
            max_age_ns = _seconds(value)
            must_revalidate = must_revalidate or max_age_ns == 0
        elif valued and name == "stale-if-error":
            stale_if_error_ns = _seconds(value)
    return CacheControl(max_age_ns, must_revalidate, stale_if_error_ns)


def _seconds(text: str) -> int:
    try:
        return parse_int(text) * SECOND_NS
    except ValueError:
        raise BadRequest("Invalid Cache-Control header.") from None


def wait_limit_ns(wait_ns: int, default_ns: int, maximum_ns: int) -> int:
    """How long a query may block, before jitter."""
    if wait_ns <= 0:
        return default_ns
    return min(wait_ns, maximum_ns)
