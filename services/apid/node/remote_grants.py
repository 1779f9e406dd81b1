"""What tokens may do as servers say it, remembered: on client agents, and where tokens are not replicated.

Which answers may be used for how long is `apid.core.remembered`; here servers are asked, once per token at a time, and
`down_policy` decides when none answers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import msgspec

from apid.core.access import ACL_NOT_FOUND, RESOLVE_PATH
from apid.core.errors import ACL_DISABLED, HttpError
from apid.core.message import Request, Response
from apid.core.remembered import Age, Look, RememberedTokens, Resolved
from lictor.acl.defaults import ALLOW, DENY
from lictor.config.runtime import AclConfig
from lictor.state.grants import Grant

log = logging.getLogger("agent.acl")

ASYNC_CACHE = "async-cache"
ALLOWED, DENIED = Grant(None, ALLOW), Grant(None, DENY)
# With `down_policy` "allow" nothing is remembered of a failure but that it is too early to ask again.
RETRY_S = 1.0

Send = Callable[[Request], Awaitable[Response]]
Compile = Callable[[Look], Grant | None]

_decode = msgspec.msgpack.Decoder(Resolved).decode


class ServersDisabled(HttpError):
    """The servers have no access control."""

    def __init__(self) -> None:
        super().__init__(ACL_DISABLED)


class RemoteGrants:
    """Grants from what servers say.

    `send` passes a request to a server, without patience. `look` and `compiled` say what decides a token's rights: all
    that is remembered on a client agent, the token alone where policies and roles are in the local state.
    """

    def __init__(
        self,
        config: AclConfig,
        known: RememberedTokens,
        send: Send,
        look: Callable[[str, float], Look],
        compiled: Compile,
    ) -> None:
        self._down_policy = config.down_policy
        self._disabled_ttl_s = config.disabled_ttl_ns / 1e9
        self._known = known
        self._send = send
        self._look = look
        self._compiled = compiled
        self._asking: dict[str, asyncio.Task[Grant | None]] = {}
        self._met_access_control = False
        self._ask_again_s = 0.0
        self.disabled_until_s = 0.0

    async def close(self) -> None:
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def known(self, secret_id: str) -> tuple[bool, Grant | None]:
        """Whether what is remembered may be used without waiting, and what that is; None for an unknown token.

        With `async-cache` old answers are used, too, while a server is asked in the background.
        """
        now_s = time.monotonic()
        look = self._look(secret_id, now_s)
        if look.age is not Age.FRESH and now_s < self._ask_again_s:
            return True, ALLOWED
        if look.age is Age.MISSING:
            return False, None
        if look.age is Age.STALE:
            if self._down_policy != ASYNC_CACHE:
                return False, None
            self._ask(secret_id)
        return True, self._grant(look)

    def latest(self, secret_id: str) -> Grant | None:
        """What is remembered, however old; a server is asked in the background when it is."""
        look = self._look(secret_id, time.monotonic())
        if look.age is not Age.FRESH:
            self._ask(secret_id)
        return self._grant(look)

    async def resolve(self, secret_id: str) -> Grant | None:
        """What a server says now, or `down_policy` when none does; None for an unknown token.

        Errors: ServersDisabled.
        """
        return await asyncio.shield(self._ask(secret_id))

    async def fetch(self, secret_id: str) -> Resolved | None:
        """A server's answer, None when there is no such token. Errors: HttpError when none could be had."""
        request = Request(
            "GET", RESOLVE_PATH, b"", [(b"x-consul-token", secret_id.encode("latin-1"))], target=RESOLVE_PATH.encode()
        )
        response = await self._send(request)
        if response.status == 200:
            return _decode(response.body)
        text = response.body.decode("utf-8", "replace")
        if response.status == 403 and ACL_NOT_FOUND in text:
            return None
        if ACL_DISABLED in text:
            raise ServersDisabled
        raise HttpError(text or f"status {response.status}")

    def _ask(self, secret_id: str) -> asyncio.Task[Grant | None]:
        task = self._asking.get(secret_id)
        if task is None:
            task = self._asking[secret_id] = asyncio.get_running_loop().create_task(self._answered(secret_id))
            task.add_done_callback(lambda done: self._forget(secret_id, done))
        return task

    def _forget(self, secret_id: str, task: asyncio.Task[Grant | None]) -> None:
        self._asking.pop(secret_id, None)
        if not task.cancelled():
            # Nobody may be waiting for it.
            task.exception()

    async def _answered(self, secret_id: str) -> Grant | None:
        try:
            answer = await self.fetch(secret_id)
        except ServersDisabled:
            if not self._met_access_control:
                # Servers that never had access control know no tokens.
                self._known.learn_none(secret_id, time.monotonic())
                return None
            self.disabled_until_s = time.monotonic() + self._disabled_ttl_s
            raise
        except (HttpError, msgspec.DecodeError) as error:
            log.error("Error resolving token: error=%s", error)
            return self._without_servers(secret_id)
        self._met_access_control = True
        now_s = time.monotonic()
        if answer is None:
            self._known.learn_none(secret_id, now_s)
        else:
            self._known.learn(answer, now_s)
        return self._grant(self._look(secret_id, now_s))

    def _without_servers(self, secret_id: str) -> Grant | None:
        now_s = time.monotonic()
        if self._down_policy == "allow":
            self._ask_again_s = now_s + RETRY_S
            return ALLOWED
        look = self._look(secret_id, now_s)
        if self._down_policy == "deny" or look.age is Age.MISSING:
            # For a while nobody who comes with this token waits for servers again.
            self._known.learn_none(secret_id, now_s)
            return DENIED
        self._known.extend(secret_id, now_s)
        return self._grant(look)

    def _grant(self, look: Look) -> Grant | None:
        return None if look.token is None else self._compiled(look)
