"""`consul acl role create`: a new role."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.acl.names import identities, links
from lictor.cli.call import OK, Call, CommandError, UsageWanted
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl role create -name NAME [options]

  Creates a role with policies or service identities.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("name", "string", "Name of the role.")
    flags.add("description", "string", "Description.")
    flags.add("policy-id", "strings", "ID of a policy. May be given several times.")
    flags.add("policy-name", "strings", "Name of a policy. May be given several times.")
    flags.add("service-identity", "strings", "Service, or service:dc1,dc2. May be given several times.")


def run(call: Call) -> int:
    """Create and print it."""
    if not call.flag("name"):
        raise UsageWanted("Missing require '-name' flag", blank=False)
    if not any(call.flag(kind) for kind in ("policy-id", "policy-name", "service-identity")):
        raise CommandError(
            "Cannot create a role without specifying -policy-name, -policy-id, or -service-identity at least once"
        )
    try:
        policies, _ = links(call)
        role = {
            "Name": call.flag("name"),
            "Description": call.flag("description"),
            "Policies": policies,
            "ServiceIdentities": identities(call),
        }
        created = call.client.put_json("/v1/acl/role", role).json()
    except ApiError as error:
        raise CommandError(f"Failed to create new role: {error}") from None
    call.out("\n".join(show.role(created, call.flag("meta", False))))
    return OK
