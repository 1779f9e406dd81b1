"""/v1/acl/bootstrap: the first token, which may do everything."""

from __future__ import annotations

import time

from apid.core.errors import ACL_DISABLED, Forbidden, HttpError, ServerForbidden
from apid.core.message import Request, Response
from apid.core.routes import Route
from apid.endpoints.acl.area import AclArea, shown
from apid.endpoints.acl.tokens import TOKEN, fresh
from lictor.acl.builtin import management_token
from lictor.state import commands
from lictor.state.acl import render, tokens
from lictor.state.queries import acl
from lictor.state.store import ReadTxn

DESCRIPTION = "Bootstrap Token (Global Management)"


class BootstrapEndpoints(AclArea):
    """Makes the first management token, once, or once more for each valid reset file of the leader."""

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/acl/bootstrap",
                {
                    "PUT": self._operation(
                        self.bootstrap,
                        "Create the first token, which may do everything",
                        result=TOKEN,
                        responses={403: "It was done before; the text names the index for the reset file"},
                    )
                },
            )
        ]

    async def bootstrap(self, request: Request) -> Response:
        if (elsewhere := self._server_elsewhere(request)) is not None:
            return await elsewhere
        if not self._in_primary:
            raise HttpError(ACL_DISABLED)
        done_at = await self._from_state(acl.bootstrap_index)
        reset = await self._node.consensus.call("acl.bootstrap_reset", {"index": done_at})
        specified = int(reset["specified"])
        if done_at and not specified:
            raise ServerForbidden(f"ACL bootstrap no longer allowed (reset index: {done_at})")
        if done_at and specified != done_at:
            raise HttpError(f"Invalid bootstrap reset index (specified {specified}, reset index: {done_at})")

        def ids(txn: ReadTxn) -> tokens.Fresh:
            return fresh(txn, time.time_ns())

        made = await self._from_state(ids)
        row = management_token(made.accessor_id, made.secret_id, DESCRIPTION, made.now_ns)
        command = commands.TokenBootstrap(row, specified if done_at else 0)
        try:
            stored = await self._changed(command, lambda txn: acl.token(txn, row.accessor_id))
        except Forbidden as lost:
            # Somebody else was quicker.
            raise ServerForbidden(str(lost)) from None
        return shown(render.bootstrap_token(stored or row))
