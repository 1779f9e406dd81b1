"""The `watches` of the configuration: a process that runs their handlers, started only when there are any.

Each watch is a thread that asks the agent's own HTTP API, blocking, and runs its handler at every change: a script with
the result as JSON on standard input and CONSUL_INDEX set, or an HTTP request with the JSON as body and X-Consul-Index.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Callable
from typing import Any

from lictor import logs
from lictor.agent.link import SupervisorLink
from lictor.cli.client import ApiError, Client, Options
from lictor.cli.watch import command, retry_s
from lictor.cli.watching import Query, WatchError, events_after, fetch, query_for
from lictor.config import duration, gojson
from lictor.config.runtime import RuntimeConfig, config_path
from lictor.config.settings import UNIX_PREFIX, is_any, joined

DEFAULT_HTTP_TIMEOUT_S = 10.0
HANDLER_TIMEOUT_S = 600.0
MAX_OUTPUT_BYTES = 4096

Handler = Callable[[int, Any], None]
Watch = dict[str, Any]
log = logging.getLogger("agent.watch")


def run(config: RuntimeConfig, link: SupervisorLink | None) -> int:
    """Run the handlers until told to stop."""
    return asyncio.run(_serve(config, link))


async def _serve(config: RuntimeConfig, link: SupervisorLink | None) -> int:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    plans = Plans(config)

    def reload(_message: object) -> None:
        plans.replace(RuntimeConfig.load(config_path(config.data_dir)))

    if link is not None:
        link.on_event("stop", lambda _message: stopping.set())
        link.on_event("reload", reload)
        await link.start()
        link.ready()
    await stopping.wait()
    plans.stop()
    if link is not None:
        await link.close()
    return 0


class Plans:
    """The running watches."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._stop = threading.Event()
        self._watches: tuple[Watch, ...] = ()
        self.replace(config)

    def replace(self, config: RuntimeConfig) -> None:
        """Run these watches; unless they are the same as before, from the start."""
        if config.watches == self._watches:
            return
        self._stop.set()
        self._stop, self._watches = threading.Event(), config.watches
        for watch in config.watches:
            try:
                query, handler = query_for(str(watch.get("type", "")), watch), handler_of(watch)
            except (WatchError, ValueError) as error:
                log.error("Failed to run watch", extra=logs.fields(error=error))
                continue
            threading.Thread(target=follow, args=(config, watch, query, handler, self._stop), daemon=True).start()

    def stop(self) -> None:
        """Call no handler any more."""
        self._stop.set()


def follow(config: RuntimeConfig, watch: Watch, query: Query, handler: Handler, stop: threading.Event) -> None:
    """Ask again and again, and call the handler at every change."""
    client = Client(
        Options(
            address=own_address(config),
            # Without one, apid takes the agent's default token, whatever that is by then.
            token=str(watch.get("token") or ""),
            datacenter=str(watch.get("datacenter", "")),
        )
    )
    try:
        _follow(client, watch, query, handler, stop)
    finally:
        client.close()


def _follow(client: Client, watch: Watch, query: Query, handler: Handler, stop: threading.Event) -> None:
    index, failures = 0, 0
    last: Any = object()
    while not stop.is_set():
        try:
            fresh_index, result = fetch(client, query, index)
        except ApiError as error:
            failures += 1
            log.error(
                "Watch errored",
                extra=logs.fields(type=watch.get("type"), error=error, retry=f"{retry_s(failures):g}s"),
            )
            stop.wait(retry_s(failures))
            index = 0
            continue
        failures = 0
        if fresh_index == index or stop.is_set():
            continue
        previous, index = index, 0 if fresh_index < index and not query.is_event else fresh_index
        if query.is_event:
            result = events_after(previous, result)
            if not result:
                continue
        elif result == last:
            continue
        last = result
        try:
            handler(fresh_index, result)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            log.error("Failed to run watch handler", extra=logs.fields(type=watch.get("type"), error=error))


def handler_of(watch: Watch) -> Handler:
    """What a watch calls. Raises ValueError when it does not say so properly."""
    kind = str(watch.get("handler_type") or "script")
    if kind == "http":
        return _http_handler(watch.get("http_handler_config") or {})
    if kind != "script":
        raise ValueError(f"Handler type '{kind}' not recognized")
    arguments, text = watch.get("args"), watch.get("handler")
    if bool(arguments) == bool(text):
        raise ValueError("One of a 'handler' or 'args' must be given for a watch")
    return _script_handler([str(word) for word in arguments] if arguments else command([str(text)], shell=True))


def _script_handler(words: list[str]) -> Handler:
    def call(index: int, result: Any) -> None:
        done = subprocess.run(
            words,
            input=(gojson.compact(result) + "\n").encode(),
            env={**os.environ, "CONSUL_INDEX": str(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=HANDLER_TIMEOUT_S,
            check=False,
        )
        output = done.stdout[-MAX_OUTPUT_BYTES:].decode("utf-8", "replace")
        log.debug("watch handler output", extra=logs.fields(watch_handler=" ".join(words), output=output))
        if done.returncode != 0:
            raise ValueError(f"exit status {done.returncode}")

    return call


def _http_handler(settings: dict[str, Any]) -> Handler:
    path = str(settings.get("path", ""))
    if not path.startswith(("http://", "https://")):
        raise ValueError("Requires 'path' to be set")
    timeout_s = duration.parse(str(settings["timeout"])) / 1e9 if "timeout" in settings else DEFAULT_HTTP_TIMEOUT_S
    headers = {str(name): ", ".join(values) for name, values in (settings.get("header") or {}).items()}
    method = str(settings.get("method") or "POST")

    def call(index: int, result: Any) -> None:
        request = urllib.request.Request(
            path,
            data=json.dumps(result).encode(),
            method=method,
            headers={"Content-Type": "application/json", "X-Consul-Index": str(index), **headers},
        )
        with urllib.request.urlopen(request, timeout=timeout_s, context=_context(settings)) as answer:
            answer.read(MAX_OUTPUT_BYTES)

    return call


def _context(settings: dict[str, Any]) -> Any:
    """How to check the server's certificate; None for the default way."""
    if not settings.get("tls_skip_verify"):
        return None
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def own_address(config: RuntimeConfig) -> str:
    """Where this agent's HTTP API is, seen from the same host."""
    for address in config.addresses.http:
        if address.startswith(UNIX_PREFIX):
            return address
        host = ("::1" if ":" in address else "127.0.0.1") if is_any(address) else address
        if config.ports.http > 0:
            return joined(host, config.ports.http)
    return joined("127.0.0.1", config.ports.http)
