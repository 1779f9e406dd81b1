"""`consul acl translate-rules`: old rules in the present syntax."""

from __future__ import annotations

from lictor.cli.acl.names import text_of, token_id
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl translate-rules  [options] TRANSLATE

  Translates ACL rules of before Consul 1.4. RULES is the text itself, - for
  standard input, @file, or with a flag the ID of an old token.
"""
COMMON = "CS"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("token-accessor", "bool", "The argument is the accessor ID of an old token.")
    flags.add("token-secret", "bool", "The argument is the secret of an old token.")


def run(call: Call) -> int:
    """Send the rules and print the answer."""
    if not call.arguments:
        raise CommandError("Error! Missing TRANSLATE argument")
    if len(call.arguments) > 1:
        raise CommandError(f"Error! Too many arguments: expected 1 got {len(call.arguments)}")
    argument = call.arguments[0]
    try:
        if call.flag("token-secret", False):
            token = call.client.get(f"/v1/acl/info/{argument}").json()
            rules = token[0]["Rules"] if token else ""
        elif call.flag("token-accessor", False):
            rules = call.client.get(f"/v1/acl/token/{token_id(call, argument)}").json().get("Rules", "")
        else:
            rules = text_of(argument)
        answer = call.client.request_ok("POST", "/v1/acl/rules/translate", rules.encode())
    except ApiError as error:
        raise CommandError(f"Error translating rules: {error}") from None
    call.out(answer.body.decode("utf-8", "replace"))
    return OK
