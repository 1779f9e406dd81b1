"""`consul acl token create`: a new token."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.acl.names import identities, links
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl token create [options]

  Creates a token with policies, roles or service identities.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("accessor", "string", "Accessor ID, made up when not given.")
    flags.add("secret", "string", "Secret ID, made up when not given.")
    flags.add("local", "bool", "Valid in this datacenter only.")
    flags.add("description", "string", "Description.")
    flags.add("policy-id", "strings", "ID of a policy. May be given several times.")
    flags.add("policy-name", "strings", "Name of a policy. May be given several times.")
    flags.add("role-id", "strings", "ID of a role. May be given several times.")
    flags.add("role-name", "strings", "Name of a role. May be given several times.")
    flags.add("service-identity", "strings", "Service, or service:dc1,dc2. May be given several times.")
    flags.add("expires-ttl", "duration", "Time after which the token ends.")


def run(call: Call) -> int:
    """Create and print it."""
    kinds = ("policy-id", "policy-name", "role-id", "role-name", "service-identity")
    if not any(call.flag(kind) for kind in kinds):
        raise CommandError(
            "Cannot create a token without specifying -policy-name, -policy-id, -role-name, -role-id, or"
            " -service-identity at least once"
        )
    try:
        policies, roles = links(call)
        token = {
            "Description": call.flag("description"),
            "Local": call.flag("local", False),
            "Policies": policies,
            "Roles": roles,
            "ServiceIdentities": identities(call),
        }
        if call.flag("accessor"):
            token["AccessorID"] = call.flag("accessor")
        if call.flag("secret"):
            token["SecretID"] = call.flag("secret")
        if call.flag("expires-ttl", 0):
            token["ExpirationTTL"] = show.expires(call.flag("expires-ttl"))
        created = call.client.put_json("/v1/acl/token", token).json()
    except ApiError as error:
        raise CommandError(f"Failed to create new token: {error}") from None
    call.out("\n".join(show.token(created, call.flag("meta", False))))
    return OK
