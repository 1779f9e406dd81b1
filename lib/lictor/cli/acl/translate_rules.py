"""`consul acl translate-rules`: old rules in the present syntax; no agent is asked unless they are an old token's."""

from __future__ import annotations

from lictor.acl.errors import RulesError
from lictor.acl.translate import translate
from lictor.cli.acl.legacy_rules import rules_of_token
from lictor.cli.acl.names import text_of
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl translate-rules  [options] TRANSLATE

  Prints ACL rules of before Consul 1.4 in the present syntax.

  Rules in a file, from standard input, or as an argument:

      $ consul acl translate-rules @rules.hcl
      $ consul acl translate-rules -
      $ consul acl translate-rules 'key "" { policy = "write"}'

  The rules of an old token, whose secret comes from standard input:

      $ consul acl translate-rules -token-secret -

  The rules of an old token with this accessor ID:

      $ consul acl translate-rules -token-accessor 429cd746-03d5-4bbb-a83a-18b164171c89
"""
COMMON = "CS"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("token-accessor", "bool", "The argument is the accessor ID of an old token.")
    flags.add("token-secret", "bool", "The argument is the secret of an old token.")


def run(call: Call) -> int:
    """Print the rules anew."""
    is_secret, is_accessor = call.flag("token-secret", False), call.flag("token-accessor", False)
    if is_secret and is_accessor:
        raise CommandError("Error - cannot specify both -token-secret and -token-accessor")
    if not call.arguments:
        raise CommandError("Error! Missing TRANSLATE argument")
    if len(call.arguments) > 1:
        raise CommandError(f"Error! Too many arguments: expected 1 got {len(call.arguments)}")
    rules = text_of(call.arguments[0])
    if is_secret or is_accessor:
        try:
            rules = rules_of_token(call, rules.strip(), is_secret)
        except ApiError as error:
            raise CommandError(str(error)) from None
    try:
        call.out(translate(rules))
    except RulesError as error:
        raise CommandError(f"Error translating rules: {error}") from None
    return OK
