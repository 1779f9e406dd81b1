"""What is not under /v1: the root and the web page's files (Consul 1.7: http.go, Index and handler)."""

from __future__ import annotations

import mimetypes
from importlib import resources
from pathlib import Path

from apid.core.encoding import to_json
from apid.core.message import HTML, TEXT, Request, Response
from apid.core.routes import Operation, Route
from apid.node.context import Node

UI_METHODS = ("GET", "HEAD")
MAX_FILE_BYTES = 16 << 20
INDEX_FILE = "index.html"


class RootEndpoints:
    """`/`, the web page, `/robots.txt`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._http = node.config.http
        self._ui = self._http.ui or bool(self._http.ui_dir)
        self._files = Path(self._http.ui_dir) if self._http.ui_dir else _own_files()

    def routes(self) -> list[Route]:
        every_method = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
        index = Operation(
            self.index, "What this is, or the way to the web page", "/", namespaced=False, forwarded=False
        )
        routes = [Route("/", dict.fromkeys(every_method, index), options=False)]
        if self._ui:
            path = "/" + self._http.ui_content_path.strip("/") + "/"
            page = Operation(self.page, "The web page's files", path + "{file}", namespaced=False, forwarded=False)
            robots = Operation(self.robots, "Keeps crawlers out", namespaced=False, forwarded=False)
            if path != "/":
                routes.append(Route(path, dict.fromkeys(UI_METHODS, page), options=False))
            routes.append(Route("/robots.txt", dict.fromkeys(UI_METHODS, robots), options=False))
        return routes

    def index(self, request: Request) -> Response:
        if request.path != "/":
            return Response(404, plain=True)
        if not self._ui:
            return Response(200, b"Consul Agent", TEXT, plain=True)
        location = self._http.ui_content_path.encode()
        body = b'<a href="%b">Moved Permanently</a>.\n\n' % location if request.method == "GET" else b""
        return Response(301, body, HTML, [(b"Location", location)], plain=True)

    def page(self, request: Request) -> Response:
        """A file of the page; any other path gives the page itself, which then shows what the path names."""
        found = self._read(request.tail) or self._read(INDEX_FILE)
        if found is None:
            return Response(404, plain=True)
        name, content = found
        if name == INDEX_FILE:
            marker = to_json(self._http.ui_content_path)
            content = content.replace(b'"{{content_path}}"', marker)
            return Response(200, content, HTML, [(b"Cache-Control", b"no-cache")])
        guessed, _ = mimetypes.guess_type(name)
        content_type = (guessed or "application/octet-stream").encode()
        if content_type.startswith(b"text/") or content_type == b"text/javascript":
            content_type += b"; charset=utf-8"
        return Response(200, content, content_type, [(b"Cache-Control", b"no-cache")])

    def robots(self, request: Request) -> Response:
        return Response(200, b"User-agent: *\nDisallow: /\n", TEXT)

    def _read(self, name: str) -> tuple[str, bytes] | None:
        """A file's name and content; None when there is none of that name inside the folder."""
        if self._files is None or not name or "\0" in name:
            return None
        path = (self._files / name.lstrip("/")).resolve()
        if not path.is_relative_to(self._files.resolve()) or not path.is_file():
            return None
        if path.stat().st_size > MAX_FILE_BYTES:
            return None
        return name, path.read_bytes()


def _own_files() -> Path | None:
    """The page's folder: inside the installed package, or the source tree's."""
    packaged = Path(str(resources.files("lictor"))) / "ui"
    if packaged.is_dir():
        return packaged
    source = Path(__file__).resolve().parents[3] / "ui"
    return source if source.is_dir() else None
