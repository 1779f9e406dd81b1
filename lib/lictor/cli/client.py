"""The agent's HTTP API as the commands use it: standard library only, errors worded as Consul's client words them."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from lictor.state import gotext

if TYPE_CHECKING:
    from lictor.cli.secure import TlsSettings

DEFAULT_ADDRESS = "127.0.0.1:8500"
CONNECT_TIMEOUT_S = 10.0
# A blocking query lasts up to 10 minutes and a sixteenth; nothing an agent does takes longer.
ANSWER_TIMEOUT_S = 660.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})
REDIRECTS_AS_SENT = frozenset({307, 308})
"""The others are followed with a GET, whatever the request was."""
MAX_REDIRECTS = 10
MAX_SHOWN_BYTES = 100
NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
"""What OpenSSL calls an answer that is no TLS."""
# What Go leaves as it is in the path of a URL.
_PATH_SAFE = "$&+,/:;=@~"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})

Query = dict[str, str] | list[tuple[str, str]]


class ApiError(Exception):
    """A request failed: no agent, or an answer that is none of success."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Answer(NamedTuple):
    """What the agent answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """The decoded body. Raises ApiError when it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise ApiError(f"cannot read the agent's answer: {error}") from None


class Options(NamedTuple):
    """Where the agent is and how to speak to it."""

    address: str = DEFAULT_ADDRESS
    token: str = ""
    ca_file: str = ""
    ca_path: str = ""
    client_cert: str = ""
    client_key: str = ""
    tls_server_name: str = ""
    tls: bool = False
    verify: bool = True
    auth: str = ""
    datacenter: str = ""
    stale: bool = False
    namespace: str = ""


def options(flags: dict[str, Any]) -> Options:
    """Flags first, then the environment; but a token file, wherever it is named, before any token.

    Raises ApiError for an unreadable token file or a bad value.
    """
    token_file = flags.get("token-file") or os.environ.get("CONSUL_HTTP_TOKEN_FILE", "")
    token = read_token(token_file) if token_file else ""
    token = token or flags.get("token") or os.environ.get("CONSUL_HTTP_TOKEN", "")
    return Options(
        address=flags.get("http-addr") or os.environ.get("CONSUL_HTTP_ADDR") or DEFAULT_ADDRESS,
        token=token,
        ca_file=flags.get("ca-file") or os.environ.get("CONSUL_CACERT", ""),
        ca_path=flags.get("ca-path") or os.environ.get("CONSUL_CAPATH", ""),
        client_cert=flags.get("client-cert") or os.environ.get("CONSUL_CLIENT_CERT", ""),
        client_key=flags.get("client-key") or os.environ.get("CONSUL_CLIENT_KEY", ""),
        tls_server_name=flags.get("tls-server-name") or os.environ.get("CONSUL_TLS_SERVER_NAME", ""),
        tls=_environment_bool("CONSUL_HTTP_SSL", False),
        verify=_environment_bool("CONSUL_HTTP_SSL_VERIFY", True),
        auth=os.environ.get("CONSUL_HTTP_AUTH", ""),
        datacenter=flags.get("datacenter", ""),
        stale=flags.get("stale", False),
        namespace=flags.get("namespace") or os.environ.get("CONSUL_NAMESPACE", ""),
    )


def read_token(path: str) -> str:
    """The token in a file, without the blanks around it. Raises ApiError."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ApiError(f"Error loading token file: open {path}: {(reason or '').lower()}") from None


def _environment_bool(name: str, default: bool) -> bool:
    text = os.environ.get(name, "")
    if not text:
        return default
    if text not in _TRUE and text not in _FALSE:
        now_s = time.time()
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now_s))}.{int(now_s * 1000) % 1000:03d}Z"
        reason = f'strconv.ParseBool: parsing "{text}": invalid syntax'
        line = f'{stamp} [WARN]  consul-api: could not parse {name}: error="{reason}"'
        # Consul's client reads the environment twice, and takes what it cannot read for no.
        print(line, line, sep="\n", file=sys.stderr)
        return False
    return text in _TRUE


def _tls_settings(given: Options) -> TlsSettings | None:
    """What the files hold, whether it will be needed or not; None when none is named. Raises ApiError."""
    if bool(given.client_cert) != bool(given.client_key):
        raise ApiError("both client cert and client key must be provided")
    if not (given.ca_file or given.ca_path or given.client_cert):
        return None
    from lictor.cli.secure import TlsSettings
    from lictor.tls.material import TlsError

    try:
        return TlsSettings(given.ca_file, given.ca_path, given.client_cert, given.client_key)
    except TlsError as error:
        raise ApiError(str(error)) from None


class Client:
    """Speaks to one agent; a connection is opened for the first request and kept."""

    def __init__(self, given: Options) -> None:
        self._options = given
        address = given.address
        scheme, mark, rest = address.partition("://")
        self.unix_path = rest if mark and scheme == "unix" else ""
        self.scheme = scheme if mark and scheme in ("http", "https") else ("https" if given.tls else "http")
        if mark and scheme not in ("http", "https", "unix"):
            raise ApiError(f"Unknown protocol scheme: {scheme}")
        self._tls = _tls_settings(given)
        self.host = "127.0.0.1" if self.unix_path else (rest if mark else address).rstrip("/")
        self._connection: http.client.HTTPConnection | None = None

    @property
    def default_datacenter(self) -> str:
        """The datacenter given on the command line, or nothing for the agent's own."""
        return self._options.datacenter

    def get(self, path: str, query: Query | None = None, missing_ok: bool = False, terse: bool = False) -> Answer:
        """A read. Raises ApiError unless it is answered with 200 (or 404 when that is allowed).

        A terse error tells the code only, as Consul's client does it for keys.
        """
        allowed = (200, 404) if missing_ok else (200,)
        answer = self.request("GET", path, query, stale=True)
        if terse and answer.status not in allowed:
            raise ApiError(f"Unexpected response code: {answer.status}", answer.status)
        return self._expect(answer, allowed)

    def put(self, path: str, query: Query | None = None, body: bytes = b"") -> Answer:
        """A write. Raises ApiError unless it is answered with 200."""
        return self._expect(self.request("PUT", path, query, body), (200,))

    def put_json(self, path: str, value: Any, query: Query | None = None) -> Answer:
        """A write of a JSON value. Raises ApiError unless it is answered with 200."""
        return self.put(path, query, json.dumps(value).encode())

    def post_json(self, path: str, value: Any, query: Query | None = None) -> Answer:
        """As `put_json`, with POST."""
        return self._expect(self.request("POST", path, query, json.dumps(value).encode()), (200,))

    def delete(self, path: str, query: Query | None = None, body: bytes = b"") -> Answer:
        """A removal. Raises ApiError unless it is answered with 200."""
        return self._expect(self.request("DELETE", path, query, body), (200,))

    def request_ok(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Any request. Raises ApiError unless it is answered with 200."""
        return self._expect(self.request(method, path, body=body), (200,))

    def request(
        self, method: str, path: str, query: Query | None = None, body: bytes = b"", stale: bool = False
    ) -> Answer:
        """Any request; every answer is returned. Raises ApiError when there is none."""
        target = self._target(path, query, stale)
        answer = self._answer(method, target, body)
        for _ in range(MAX_REDIRECTS):
            place = answer.headers.get("Location", "")
            if answer.status not in REDIRECTS or not place.startswith("/"):
                return answer
            if answer.status not in REDIRECTS_AS_SENT:
                method, body = "GET", b""
            answer = self._answer(method, place, body)
        raise ApiError(self._worded(method, target, ApiError(f"stopped after {MAX_REDIRECTS} redirects")))

    def _answer(self, method: str, target: str, body: bytes) -> Answer:
        response = self._open(method, target, body)
        try:
            return Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ApiError(self._worded(method, target, error)) from None

    def open(
        self, method: str, path: str, query: Query | None = None, body: bytes = b"", stale: bool = False
    ) -> http.client.HTTPResponse:
        """Send a request and return the answer unread. Raises ApiError when there is none."""
        return self._open(method, self._target(path, query, stale), body)

    def _open(self, method: str, target: str, body: bytes) -> http.client.HTTPResponse:
        headers = {"Content-Length": str(len(body))} if body or method != "GET" else {}
        if self._options.token:
            headers["X-Consul-Token"] = self._options.token
        if self._options.auth:
            headers["Authorization"] = "Basic " + base64.b64encode(self._options.auth.encode()).decode()
        for attempt in (1, 2):
            fresh = self._connection is None
            try:
                if self._connection is None:
                    self._connection = self._connect()
                self._connection.request(method, target, body or None, headers)
                return self._connection.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                # A kept connection may have been closed meanwhile: that is worth one more try.
                self.close()
                if fresh or attempt == 2:
                    raise ApiError(self._worded(method, target, error)) from None
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise ApiError(self._worded(method, target, error)) from None
        raise AssertionError("the second attempt returns or raises")

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def stream(self, path: str, query: Query | None = None) -> Iterator[bytes]:
        """The lines of an endless answer, as they come. Raises ApiError unless it is answered with 200."""
        response = self.open("GET", path, query)
        if response.status != 200:
            self._expect(Answer(response.status, response.headers, response.read()), (200,))
        while line := response.readline():
            yield line.rstrip(b"\n")

    def stream_for(self, path: str, seconds: float, query: Query | None = None) -> Iterator[bytes]:
        """As `stream`, and it ends after so many seconds."""
        end_s = time.monotonic() + seconds
        response = self.open("GET", path, query)
        if response.status != 200:
            self._expect(Answer(response.status, response.headers, response.read()), (200,))
        connection = self._connection
        assert connection is not None, "just opened"
        try:
            while (left_s := end_s - time.monotonic()) > 0:
                connection.sock.settimeout(left_s)
                if not (line := response.readline()):
                    return
                yield line.rstrip(b"\n")
        except TimeoutError:
            return
        finally:
            self.close()

    def _target(self, path: str, query: Query | None, stale: bool) -> str:
        values = list(query.items()) if isinstance(query, dict) else list(query or ())
        if self._options.datacenter:
            values.append(("dc", self._options.datacenter))
        if self._options.namespace:
            values.append(("ns", self._options.namespace))
        if self._options.stale and stale:
            values.append(("stale", ""))
        encoded = quote(path, safe=_PATH_SAFE)
        return f"{encoded}?{urlencode(sorted(values))}" if values else encoded

    def _connect(self) -> http.client.HTTPConnection:
        if self.unix_path:
            return _UnixConnection(self.unix_path)
        host, port = self._host_and_port()
        if self.scheme == "https":
            return self._secure(host, port)
        connection = http.client.HTTPConnection(host, port, timeout=CONNECT_TIMEOUT_S)
        connection.connect()
        connection.sock.settimeout(ANSWER_TIMEOUT_S)
        return connection

    def _secure(self, host: str, port: int) -> http.client.HTTPSConnection:
        from lictor.cli.secure import TlsSettings

        given = self._options
        context = (self._tls or TlsSettings()).context(given.verify)
        connection = http.client.HTTPSConnection(host, port, timeout=CONNECT_TIMEOUT_S, context=context)
        plain = socket.create_connection((host, port), CONNECT_TIMEOUT_S)
        try:
            connection.sock = context.wrap_socket(plain, server_hostname=given.tls_server_name or host)
        except OSError:
            plain.close()
            raise
        connection.sock.settimeout(ANSWER_TIMEOUT_S)
        return connection

    def _host_and_port(self) -> tuple[str, int]:
        host, mark, port = self.host.rpartition(":")
        if mark and port.isdigit() and (host.startswith("[") or ":" not in host):
            return host.strip("[]"), int(port)
        return self.host.strip("[]"), 443 if self.scheme == "https" else 80

    def _expect(self, answer: Answer, allowed: tuple[int, ...]) -> Answer:
        if answer.status not in allowed:
            text = answer.body.decode("utf-8", "replace")
            raise ApiError(f"Unexpected response code: {answer.status} ({text})", answer.status)
        return answer

    def _worded(self, method: str, target: str, error: Exception) -> str:
        """What Go's HTTP client says: method, URL, what failed."""
        host = quote(self.unix_path, safe="") if self.unix_path else self.host
        url = f"{self.scheme}://{host}{target}"
        return f'{method.capitalize()} "{url}": {self._cause(error)}'

    def _cause(self, error: Exception) -> str:
        if self.unix_path:
            where = f"dial unix {self.unix_path}"
        else:
            host, port = self._host_and_port()
            where = f"dial tcp {f'[{host}]' if ':' in host else host}:{port}"
        if isinstance(error, http.client.RemoteDisconnected):
            return "EOF"
        if isinstance(error, socket.gaierror):
            return f"dial tcp: lookup {self._host_and_port()[0]}: no such host"
        if isinstance(error, ConnectionResetError):
            return "read: connection reset by peer"
        if isinstance(error, TimeoutError):
            return f"{where}: i/o timeout"
        if type(error).__module__ == "ssl":
            return self._tls_cause(error)
        if isinstance(error, http.client.BadStatusLine):
            line = gotext.quote(str(error)[:MAX_SHOWN_BYTES].rstrip("\r\n"))
            return f"net/http: HTTP/1.x transport connection broken: malformed HTTP response {line}"
        if isinstance(error, OSError) and error.errno and error.strerror:
            return f"{where}: connect: {error.strerror.lower()}"
        return str(error) or type(error).__name__

    def _tls_cause(self, error: Exception) -> str:
        from lictor.cli.secure import TlsSettings, name_fault
        from lictor.tls.faults import described

        if getattr(error, "reason", "") in NOT_TLS:
            return "http: server gave HTTP response to HTTPS client"
        if type(error).__name__ == "SSLCertVerificationError":
            host, port = self._host_and_port()
            context = (self._tls or TlsSettings()).context(verify=False)
            wanted = self._options.tls_server_name or host
            return name_fault(context, host, port, wanted, CONNECT_TIMEOUT_S) or described(error)
        # An agent of Consul's says so in both cases.
        return described(error).replace("tls: certificate required", "tls: bad certificate")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("127.0.0.1")
        self._path = path
        self.connect()

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_TIMEOUT_S)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.sock.close()
            raise
        self.sock.settimeout(ANSWER_TIMEOUT_S)
