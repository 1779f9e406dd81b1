"""The rules of a legacy token, for commands that translate them."""

from __future__ import annotations

from lictor.cli.acl.names import accessor_id
from lictor.cli.call import Call, CommandError
from lictor.cli.client import ApiError, Client, options


def rules_of_token(call: Call, identity: str, is_secret: bool) -> str:
    """What a legacy token may do, in the old syntax. Raises ApiError, CommandError."""
    identity = accessor_id(call, identity)
    try:
        if is_secret:
            client = Client(options(call.flags)._replace(token=identity))
            token = client.get("/v1/acl/token/self").json()
            client.close()
        else:
            token = call.client.get(f"/v1/acl/token/{identity}").json()
    except ApiError as error:
        raise CommandError(f"Error reading token: {error}") from None
    rules: str = token.get("Rules", "")
    if not rules:
        raise CommandError("Token is not a legacy token with rules")
    return rules
