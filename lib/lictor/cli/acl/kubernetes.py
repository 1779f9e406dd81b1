"""The settings of an auth method of type kubernetes."""

from __future__ import annotations

from lictor.cli.acl.names import text_of
from lictor.cli.call import Call

KUBERNETES = "kubernetes"
SETTINGS = {
    "kubernetes-host": "Host",
    "kubernetes-ca-cert": "CACert",
    "kubernetes-service-account-jwt": "ServiceAccountJWT",
}
"""Flag to key of the method's configuration."""


def settings(call: Call) -> dict[str, str]:
    """The configuration given by flags. Raises CommandError for an unreadable file."""
    return {
        key: text_of(call.flag(flag)) if key == "CACert" else call.flag(flag)
        for flag, key in SETTINGS.items()
        if call.flag(flag)
    }
