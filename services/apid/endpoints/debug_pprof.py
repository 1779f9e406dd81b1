"""/debug/pprof/: profiles of apid, for `enable_debug` or operators (Consul 1.7: http.go, handlePProf).

The paths are those of Go's pprof, the content is text about Python, see `apid.node.profiling`.
"""

from __future__ import annotations

from pathlib import Path

from apid.core.errors import ACL_DISABLED, BadRequest, Forbidden, HttpError, NotFound, RootDenied
from apid.core.message import HTML, OCTETS, TEXT, Request, Response
from apid.core.routes import Operation, Route
from apid.node.context import Node
from apid.node.profiling import AlreadyProfiling, Profiler, heap, stacks, trace

PATTERN = "/debug/pprof/"
COMMAND_LINE = Path("/proc/self/cmdline")
DEFAULT_PROFILE_S = 30.0
DEFAULT_TRACE_S = 1.0
MAX_SECONDS = 600.0
PROFILES = {
    "cmdline": "the command line",
    "goroutine": "tasks and threads with their stacks",
    "heap": "objects by type",
    "allocs": "the same",
    "profile": "where the time goes; takes ?seconds=30",
    "symbol": "nothing: Python's profiles hold names already",
    "trace": "how late the event loop runs; takes ?seconds=1",
}
LINES = "".join(f'<li><a href="{name}">{name}</a>: {about}</li>\n' for name, about in PROFILES.items())
INDEX = f"<html><head><title>/debug/pprof/</title></head><body>\n<ul>\n{LINES}</ul>\n</body></html>\n"


class DebugPprofEndpoints:
    """Answers by the name behind the pattern."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._profiler = Profiler()

    def routes(self) -> list[Route]:
        return [
            Route(
                PATTERN,
                {
                    "GET": Operation(
                        self.answer,
                        "Profiles of this process as text",
                        PATTERN + "{profile}",
                        query=("seconds",),
                        result={"type": "string"},
                        result_type="text/plain",
                        responses={401: ACL_DISABLED, 403: "operator:read is needed", 404: "Unknown profile"},
                        namespaced=False,
                        forwarded=False,
                    )
                },
            )
        ]

    async def answer(self, request: Request) -> Response:
        config = self._node.config
        if not config.http.enable_debug and not config.acl.enabled:
            raise HttpError(ACL_DISABLED, 401)
        try:
            allowed = self._node.authorizer(request).operator_read()
        except (Forbidden, RootDenied):
            allowed = False
        if not allowed:
            return Response(403)
        name = request.tail
        if not name:
            return Response(200, INDEX.encode(), HTML)
        if name == "cmdline":
            return Response(200, COMMAND_LINE.read_bytes().rstrip(b"\0"), TEXT)
        if name == "goroutine":
            return Response(200, stacks().encode(), TEXT)
        if name in ("heap", "allocs"):
            return Response(200, heap().encode(), TEXT)
        if name == "symbol":
            return Response(200, b"num_symbols: 0\n", TEXT)
        if name == "trace":
            return Response(200, (await trace(_seconds(request, DEFAULT_TRACE_S))).encode(), OCTETS)
        if name == "profile":
            try:
                text = await self._profiler.profile(_seconds(request, DEFAULT_PROFILE_S))
            except AlreadyProfiling as error:
                raise HttpError(f"Could not enable CPU profiling: {error}") from None
            return Response(200, text.encode(), OCTETS)
        raise NotFound("Unknown profile")


def _seconds(request: Request, default_s: float) -> float:
    text = request.get("seconds")
    if not text:
        return default_s
    try:
        seconds = float(text)
    except ValueError:
        raise BadRequest(f"seconds is not a number: {text}") from None
    if not 0 < seconds <= MAX_SECONDS:
        raise BadRequest(f"seconds must be above 0 and at most {MAX_SECONDS:g}")
    return seconds
