"""`consul acl auth-method update`: change an auth method."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.acl.kubernetes import KUBERNETES, SETTINGS, settings
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl auth-method update -name NAME [options]

  Changes an auth method. What is not given stays, unless -no-merge is.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("name", "string", "Name of the method.")
    flags.add("description", "string", "Description.")
    flags.add("kubernetes-host", "string", "URL of the Kubernetes API.")
    flags.add("kubernetes-ca-cert", "string", "Its certificate authority: PEM text or @file.")
    flags.add("kubernetes-service-account-jwt", "string", "Token with which it is asked.")
    flags.add("no-merge", "bool", "Replace everything by what is given.")


def run(call: Call) -> int:
    """Read, change, write and print it."""
    name = call.flag("name")
    if not name:
        raise CommandError("Cannot update an auth method without specifying the -name parameter")
    try:
        try:
            method = call.client.get(f"/v1/acl/auth-method/{name}").json()
        except ApiError as error:
            if error.status == 404:
                raise
            raise CommandError(f"Error when retrieving current auth method: {error}") from None
        given = settings(call)
        if call.flag("no-merge", False):
            for flag in SETTINGS if method["Type"] == KUBERNETES else ():
                if not call.flag(flag):
                    raise CommandError(f"Missing required '-{flag}' flag")
            method["Description"], method["Config"] = call.flag("description"), given
        else:
            method["Description"] = call.flag("description") or method["Description"]
            method["Config"] = {**(method.get("Config") or {}), **given}
        updated = call.client.put_json(f"/v1/acl/auth-method/{name}", method).json()
    except ApiError as error:
        if error.status == 404:
            raise CommandError(f'Auth method not found with name "{name}"') from None
        raise CommandError(f'Error updating auth method "{name}": {error}') from None
    call.out("Auth method updated successfully")
    call.out("\n".join(show.auth_method(updated, call.flag("meta", False))))
    return OK
