"""`consul acl token update`: change a token."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.acl.names import identities, links, merged, merged_identities, token_id
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl token update [options]

  Changes a token. Lists are replaced unless they are to be merged.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("merge-policies", "bool", "Add the policies given to those there are.")
    flags.add("merge-roles", "bool", "Add the roles given to those there are.")
    flags.add("merge-service-identities", "bool", "Add the service identities given to those there are.")
    flags.add("id", "string", "ID of the token, or its beginning.")
    flags.add("description", "string", "Description.")
    flags.add("policy-id", "strings", "ID of a policy. May be given several times.")
    flags.add("policy-name", "strings", "Name of a policy. May be given several times.")
    flags.add("role-id", "strings", "ID of a role. May be given several times.")
    flags.add("role-name", "strings", "Name of a role. May be given several times.")
    flags.add("service-identity", "strings", "Service, or service:dc1,dc2. May be given several times.")
    flags.add("upgrade-legacy", "bool", "Turn an old token into a new one.")


def run(call: Call) -> int:
    """Read, change, write and print it."""
    if not call.flag("id"):
        raise CommandError("Cannot update a token without specifying the -id parameter")
    identity = token_id(call, call.flag("id"))
    try:
        try:
            token = call.client.get(f"/v1/acl/token/{identity}").json()
        except ApiError as error:
            raise CommandError(f"Error when retrieving current token: {error}") from None
        if call.flag("upgrade-legacy", False) and not token.pop("Rules", ""):
            raise CommandError("Can't use -upgrade-legacy on a non-legacy token")
        if call.flag("description"):
            token["Description"] = call.flag("description")
        services = identities(call)
        policies, roles = links(call)
        for key, given, merge, merging in (
            ("Policies", policies, "merge-policies", merged),
            ("Roles", roles, "merge-roles", merged),
            ("ServiceIdentities", services, "merge-service-identities", merged_identities),
        ):
            token[key] = merging(token.get(key), given) if call.flag(merge, False) else given
        updated = call.client.put_json(f"/v1/acl/token/{identity}", token).json()
    except ApiError as error:
        raise CommandError(f"Failed to update token {identity}: {error}") from None
    call.out("Token updated successfully.")
    call.out("\n".join(show.token(updated, call.flag("meta", False))))
    return OK
