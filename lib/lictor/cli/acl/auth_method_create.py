"""`consul acl auth-method create`: a new auth method."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.acl.kubernetes import KUBERNETES, SETTINGS, settings
from lictor.cli.call import OK, Call, CommandError, UsageWanted
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl auth-method create -name NAME -type TYPE [options]

  Creates an auth method; the type kubernetes is supported.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("type", "string", "Type of the method.")
    flags.add("name", "string", "Name of the method.")
    flags.add("description", "string", "Description.")
    flags.add("kubernetes-host", "string", "URL of the Kubernetes API.")
    flags.add("kubernetes-ca-cert", "string", "Its certificate authority: PEM text or @file.")
    flags.add("kubernetes-service-account-jwt", "string", "Token with which it is asked.")


def run(call: Call) -> int:
    """Create and print it."""
    if not call.flag("type"):
        raise UsageWanted("Missing required '-type' flag", blank=False)
    if not call.flag("name"):
        raise UsageWanted("Missing required '-name' flag", blank=False)
    method = {"Type": call.flag("type"), "Name": call.flag("name"), "Description": call.flag("description")}
    if call.flag("type") == KUBERNETES:
        for flag in SETTINGS:
            if not call.flag(flag):
                raise CommandError(f"Missing required '-{flag}' flag")
        method["Config"] = settings(call)
    try:
        created = call.client.put_json("/v1/acl/auth-method", method).json()
    except ApiError as error:
        raise CommandError(f"Failed to create new auth method: {error}") from None
    call.out("\n".join(show.auth_method(created, call.flag("meta", False))))
    return OK
