"""`consul acl role update`: change a role."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.acl.names import NOT_FOUND, Entry, identities, links, merged, merged_identities, role_id
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl role update [options]

  Changes a role. What is not given stays, and lists grow, unless -no-merge
  is given.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("id", "string", "ID of the role, or its beginning.")
    flags.add("name", "string", "Name of the role.")
    flags.add("description", "string", "Description.")
    flags.add("policy-id", "strings", "ID of a policy. May be given several times.")
    flags.add("policy-name", "strings", "Name of a policy. May be given several times.")
    flags.add("service-identity", "strings", "Service, or service:dc1,dc2. May be given several times.")
    flags.add("no-merge", "bool", "Replace everything by what is given.")


def run(call: Call) -> int:
    """Read, change, write and print it."""
    if not call.flag("id"):
        raise CommandError("Cannot update a role without specifying the -id parameter")
    identity = role_id(call, call.flag("id"))
    services = identities(call)
    role = _present(call, identity)
    policies, _ = links(call)
    try:
        if call.flag("no-merge", False):
            role = {
                "ID": identity,
                "Name": call.flag("name"),
                "Description": call.flag("description"),
                "Policies": policies,
                "ServiceIdentities": services,
            }
        else:
            role["Name"] = call.flag("name") or role["Name"]
            role["Description"] = call.flag("description") or role["Description"]
            role["Policies"] = merged(role.get("Policies"), policies)
            role["ServiceIdentities"] = merged_identities(role.get("ServiceIdentities"), services)
        updated = call.client.put_json(f"/v1/acl/role/{identity}", role).json()
    except ApiError as error:
        raise CommandError(f'Error updating role "{identity}": {error}') from None
    call.out("Role updated successfully")
    call.out("\n".join(show.role(updated, call.flag("meta", False))))
    return OK


def _present(call: Call, identity: str) -> Entry:
    try:
        found: Entry = call.client.get(f"/v1/acl/role/{identity}").json()
    except ApiError as error:
        if error.status == NOT_FOUND:
            raise CommandError(f'Role not found with ID "{identity}"') from None
        raise CommandError(f"Error when retrieving current role: {error}") from None
    return found
