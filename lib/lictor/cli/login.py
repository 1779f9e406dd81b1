"""`consul login`: a token for a bearer token, through an auth method."""

from __future__ import annotations

import os

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError, Client, options
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul login [options]

  Exchanges a bearer token for a token of Consul, which is written to a file.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("method", "string", "Name of the auth method.")
    flags.add("bearer-token-file", "string", "File that holds the bearer token.")
    flags.add("token-sink-file", "string", "File to write the new token to.")
    flags.add("meta", "map", "Metadata for the token, key=value. May be given several times.")


def run(call: Call) -> int:
    """Log in and write the token."""
    if call.arguments:
        raise CommandError("Should have no non-flag arguments.")
    for flag in ("method", "token-sink-file", "bearer-token-file"):
        if not call.flag(flag):
            raise CommandError(f"Missing required '-{flag}' flag")
    try:
        with open(call.flag("bearer-token-file"), encoding="utf-8") as file:
            bearer = file.read().strip()
    except OSError as error:
        raise CommandError(f"open {error.filename}: {(error.strerror or str(error)).lower()}") from None
    if not bearer:
        raise CommandError(f"No bearer token found in {call.flag('bearer-token-file')}")
    body = {"AuthMethod": call.flag("method"), "BearerToken": bearer, "Meta": call.flag("meta", {})}
    # Whatever token the environment names is not for this request.
    client = Client(options(call.flags)._replace(token=""))
    try:
        token = client.post_json("/v1/acl/login", body).json()
    except ApiError as error:
        raise CommandError(f"Error logging in: {error}") from None
    finally:
        client.close()
    _write(call.flag("token-sink-file"), token["SecretID"])
    return OK


def _write(path: str, secret: str) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secret)
        os.replace(temporary, path)
    except OSError as error:
        raise CommandError(f"Error writing token to file sink '{path}': {error.strerror}") from None
