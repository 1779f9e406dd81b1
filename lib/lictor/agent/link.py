"""The wire between the supervisor and one daemon: a socketpair carrying JSON lines.

Lines either way are one of three shapes:

* an event, `{"event": NAME, ...}`: told, not answered. Child to supervisor: `ready` (its listeners are open), `beat`
  (once a second from its event loop; none for a while means it hangs), `fatal` with `error` (a restart cannot help:
  the agent prints the text and ends with exit code 1). Supervisor to child: `reload` (the configuration changed:
  read `<data_dir>/run/config.json` again; the link itself applies its `log_level`), `tokens` (the agent's own tokens
  changed: here they are, as `tokens`; the configuration has them, too), `monitors` (who reads the log from
  outside; the link sees to it), `stop` (end now). A child tells `reloaded` when it has done what `reload` or `tokens`
  asks, with an `error` that is empty when all went well: who asked for it is answered after that.
* a request, `{"ask": NAME, "id": N, ...}`: answered with a reply of the same number. Child to supervisor: `reload`,
  `leave` (a user asked over HTTP), `token` (a user set one of the agent's tokens: `kind` and `token`), `monitor` and
  `unmonitor` (see `lictor.agent.monitor`). Supervisor to child, on a graceful leave: `leave` to raftd (hand over
  leadership, take this server out of the Raft configuration), `leave` to gossipd (leave WAN, then LAN), `left` to raftd
  (wait until the other servers have removed this one; reply at once when they have).
* a reply, `{"reply": N, ...}`; `{"reply": N, "error": TEXT}` when it failed.

`SupervisorLink` is the daemon's end and runs on its asyncio loop; the supervisor's end is `lictor.agent.child`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from lictor import logs

BEAT_INTERVAL_S = 1.0
ASK_TIMEOUT_S = 30.0
MAX_LINE_BYTES = 64 * 1024

Message = dict[str, Any]
EventHandler = Callable[[Message], object]
RequestHandler = Callable[[Message], Awaitable[Message | None]]

log = logging.getLogger("agent.link")


class LinkError(Exception):
    """The supervisor is gone, did not answer in time, or refused what was asked."""


class SupervisorLink:
    """A daemon's end of the wire.

    Register handlers, then `start()` inside the running loop:

        link.on_event("reload", lambda message: ...)
        link.on_event("stop", lambda message: stopping.set())
        link.on_request("leave", leave)          # async def leave(message) -> dict | None
        await link.start()
        ...
        link.ready()

    When the supervisor disappears, the `stop` handler is called, with `{"event": "stop", "lost": True}`.
    """

    supervised = True
    """Whether there is a supervisor at the other end (see `lictor.agent.alone`)."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._events: dict[str, EventHandler] = {}
        self._requests: dict[str, RequestHandler] = {}
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._next_id = 1
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def on_event(self, name: str, handler: EventHandler) -> None:
        """Call `handler` on the loop whenever the supervisor tells this event.

        A text that the handler of `reload` returns is what went wrong.
        """
        self._events[name] = handler

    def on_request(self, name: str, handler: RequestHandler) -> None:
        """Answer the supervisor's request of this name with what `handler` returns; an exception is sent as error."""
        self._requests[name] = handler

    async def start(self) -> None:
        """Take the socket into the running loop: read lines and send beats until `close()`."""
        assert self._writer is None, "started twice"
        self._socket.setblocking(False)
        reader, self._writer = await asyncio.open_unix_connection(sock=self._socket, limit=MAX_LINE_BYTES)
        self._keep(self._read(reader))
        self._keep(self._beat())

    def ready(self, **details: Any) -> None:
        """Tell the supervisor that the daemon serves; `details` (JSON values) are logged by it."""
        self._send({"event": "ready", **details})

    def fatal(self, error: str) -> None:
        """Tell the supervisor that this daemon cannot run and that the whole agent should end with this text.

        For what a restart cannot mend: an address in use, a damaged log, a failed `-join`. Works before `start()`,
        too, and returns when the text is on its way.
        """
        line = encode({"event": "fatal", "error": error})
        if self._writer is None:
            self._socket.setblocking(True)
            self._socket.sendall(line)
        elif not self._writer.is_closing():
            self._writer.write(line)

    def tell(self, event: str, **details: Any) -> None:
        """Send an event that needs no answer."""
        self._send({"event": event, **details})

    async def ask(self, what: str, timeout_s: float = ASK_TIMEOUT_S, **arguments: Any) -> Message:
        """Ask the supervisor and return its reply.

        Raises LinkError when it refuses, is gone, or does not answer within `timeout_s`.
        """
        number = self._next_id
        self._next_id += 1
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._send({"ask": what, "id": number, **arguments})
            reply = await asyncio.wait_for(future, timeout_s)
        except TimeoutError as error:
            raise LinkError(f"no answer to {what} within {timeout_s:g}s") from error
        finally:
            del self._waiting[number]
        if "error" in reply:
            raise LinkError(str(reply["error"]))
        return reply

    async def close(self) -> None:
        """Stop beating and close the socket."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self, message: Message) -> None:
        if self._writer is None or self._writer.is_closing():
            return
        self._writer.write(encode(message))

    async def _beat(self) -> None:
        while True:
            self._send({"event": "beat"})
            await asyncio.sleep(BEAT_INTERVAL_S)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._take(json.loads(line))
        except (ConnectionError, ValueError) as error:
            log.warning("supervisor link failed: error=%s", error)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LinkError("the supervisor is gone"))
        if handler := self._events.get("stop"):
            handler({"event": "stop", "lost": True})

    def _take(self, message: Message) -> None:
        if "event" in message:
            if message["event"] == "monitors":
                logs.set_monitors([logs.Monitor(*monitor) for monitor in message["monitors"]])
            elif message["event"] == "reload" and "log_level" in message:
                logs.set_level(logs.level_number(message["log_level"]))
            handler = self._events.get(message["event"])
            outcome = handler(message) if handler is not None else None
            if message["event"] in ("reload", "tokens"):
                self.tell("reloaded", error=outcome if isinstance(outcome, str) else "")
        elif "reply" in message:
            future = self._waiting.get(message["reply"])
            if future is not None and not future.done():
                future.set_result(message)
        elif "ask" in message:
            self._keep(self._answer(message))

    async def _answer(self, message: Message) -> None:
        handler = self._requests.get(message["ask"])
        if handler is None:
            self._send({"reply": message["id"], "error": f"unknown request {message['ask']}"})
            return
        try:
            reply = await handler(message)
        except Exception as error:
            log.exception("request failed: request=%s", message["ask"])
            self._send({"reply": message["id"], "error": str(error) or type(error).__name__})
            return
        self._send({"reply": message["id"], **(reply or {})})


def encode(message: Message) -> bytes:
    """One message as its line."""
    line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
    assert len(line) <= MAX_LINE_BYTES, "a link message is too long"
    return line
