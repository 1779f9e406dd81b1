"""HTTP checks: 2xx passing, 429 warning, anything else critical (Consul 1.7: CheckHTTP)."""

from __future__ import annotations

import asyncio
import base64
import re
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from checkd.core.status import CRITICAL, PASSING, WARNING
from checkd.runners.dialing import DialError
from checkd.runners.http_client import Endpoint, HttpAnswer, HttpError, exchange, request_bytes
from checkd.runners.result import Result, Run, Tls

USER_AGENT = "Consul Health Check"
ACCEPT = "text/plain, text/*, */*"
MAX_REDIRECTS = 10
TO_GET = (301, 302, 303)
REDIRECTS = (*TO_GET, 307, 308)
PORTS = {"http": 80, "https": 443}
_SENSITIVE = ("authorization", "www-authenticate", "cookie", "cookie2")
_METHOD = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_SAFE_IN_TARGET = "/%:?#[]@!$&'()*+,;=-._~"


class _TooManyRedirects(HttpError):
    pass


class RequestError(Exception):
    """No request can be made of the definition; the text stands alone."""


async def run_http(run: Run, tls: Tls) -> Result:
    """Send the request, follow redirects, judge by the final status."""
    definition = run.definition
    method = definition.method or "GET"
    url = definition.http
    try:
        _refuse_malformed(method, url)
        async with asyncio.timeout(run.timeout_s()):
            answer = await _follow(run, method, tls)
    except TimeoutError:
        why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Result(CRITICAL, f"{_operation(method)} {_shown(url)}: {why}")
    except RequestError as error:
        return Result(CRITICAL, str(error))
    except (DialError, HttpError, ValueError) as error:
        return Result(CRITICAL, f"{_operation(method)} {_shown(url)}: {error}")
    text = f"HTTP {method} {url}: {status_text(answer)} Output: {answer.body.text()}"
    if 200 <= answer.status < 300:
        return Result(PASSING, text)
    return Result(WARNING if answer.status == 429 else CRITICAL, text)


def status_text(answer: HttpAnswer) -> str:
    """The status line without the version, e.g. `200 OK`."""
    return f"{answer.status} {answer.reason}"


def _shown(url: str) -> str:
    """The URL in errors: in quotes, without the password."""
    parts = urlsplit(url)
    if parts.password is not None:
        user, host = parts.netloc.rpartition("@")[0].partition(":")[0], parts.netloc.rpartition("@")[2]
        url = url.replace(parts.netloc, f"{user}:***@{host}", 1)
    return '"' + url.replace(" ", "%20") + '"'


def _refuse_malformed(method: str, url: str) -> None:
    """Raises RequestError for what Go's client does not even try."""
    if not _METHOD.fullmatch(method):
        raise RequestError(f'net/http: invalid method "{method}"')
    parts = urlsplit(url)
    if not parts.scheme and ":" in url.partition("/")[0]:
        raise RequestError(f'parse "{url}": first path segment in URL cannot contain colon')
    try:
        parts.port  # noqa: B018
    except ValueError:
        port = parts.netloc.rpartition(":")[2]
        raise RequestError(f'parse "{url}": invalid port ":{port}" after host') from None


def _operation(method: str) -> str:
    return method[:1].upper() + method[1:].lower()


async def _follow(run: Run, method: str, tls: Tls) -> HttpAnswer:
    definition = run.definition
    url, body, headers = definition.http, definition.body.encode(), _headers(definition.header)
    first_host = urlsplit(url).hostname
    for _ in range(MAX_REDIRECTS):
        answer = await _request(run, method, url, headers, body, tls)
        location = answer.headers.get("location")
        if answer.status not in REDIRECTS or not location or definition.disable_redirects:
            return answer
        url = urljoin(url, location)
        if answer.status in TO_GET:
            method, body = (method if method == "HEAD" else "GET"), b""
        if urlsplit(url).hostname != first_host:
            headers = [pair for pair in headers if pair[0].lower() not in _SENSITIVE]
    raise _TooManyRedirects(f"stopped after {MAX_REDIRECTS} redirects")


def _headers(given: dict[str, list[str]]) -> list[tuple[str, str]]:
    headers = [(name, value) for name, values in given.items() for value in values]
    names = {name.lower() for name, _ in headers}
    if "user-agent" not in names:
        headers.append(("User-Agent", USER_AGENT))
    if "accept" not in names:
        headers.append(("Accept", ACCEPT))
    return headers


async def _request(
    run: Run, method: str, url: str, headers: list[tuple[str, str]], body: bytes, tls: Tls
) -> HttpAnswer:
    parts = urlsplit(url)
    if parts.scheme not in PORTS:
        raise HttpError(f'unsupported protocol scheme "{parts.scheme}"')
    if not parts.hostname:
        raise HttpError("http: no Host in request URL")
    secure = parts.scheme == "https"
    context, name = tls(run.definition.tls_skip_verify) if secure else (None, "")
    endpoint = Endpoint(
        parts.hostname, parts.port or PORTS[parts.scheme], context, run.definition.tls_server_name or name
    )
    names = {name.lower() for name, _ in headers}
    sent = [] if "host" in names else [("Host", parts.netloc.rpartition("@")[2])]
    if parts.username is not None and "authorization" not in names:
        sent.append(("Authorization", _basic(parts)))
    request = request_bytes(method, _target(parts), [*sent, *headers], body)
    return await exchange(endpoint, request, method != "HEAD", run.output_limit_bytes)


def _basic(parts: SplitResult) -> str:
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _target(parts: SplitResult) -> str:
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    return "".join(
        character
        if character.isascii() and (character.isalnum() or character in _SAFE_IN_TARGET)
        else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in target
    )
