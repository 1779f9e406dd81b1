"""Identities in certificates: SPIFFE URIs of services, agents and the cluster itself (Consul 1.7: connect/uri.go)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

SCHEME = "spiffe"
DOMAIN = "consul"
_SERVICE = re.compile(r"/ns/([^/]+)/dc/([^/]+)/svc/([^/]+)")
_AGENT = re.compile(r"/agent/client/dc/([^/]+)/id/([^/]+)")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_IN_A_PATH = "$&+:=@!'()*,;"


class SpiffeError(ValueError):
    """Not a URI that Connect knows."""


@dataclass(frozen=True, slots=True)
class ServiceIdentity:
    """`spiffe://<host>/ns/<namespace>/dc/<datacenter>/svc/<service>`; `host` is the trust domain."""

    host: str
    namespace: str
    datacenter: str
    service: str

    @property
    def uri(self) -> str:
        parts = (quote(part, safe=_IN_A_PATH) for part in (self.namespace, self.datacenter, self.service))
        return f"{SCHEME}://{self.host}/" + "/".join(
            f"{label}/{part}" for label, part in zip(("ns", "dc", "svc"), parts, strict=True)
        )


@dataclass(frozen=True, slots=True)
class AgentIdentity:
    """`spiffe://<host>/agent/client/dc/<datacenter>/id/<agent>`."""

    host: str
    datacenter: str
    agent: str

    @property
    def uri(self) -> str:
        parts = quote(self.datacenter, safe=_IN_A_PATH), quote(self.agent, safe=_IN_A_PATH)
        return f"{SCHEME}://{self.host}/agent/client/dc/{parts[0]}/id/{parts[1]}"


@dataclass(frozen=True, slots=True)
class SigningIdentity:
    """`spiffe://<cluster>.consul`: what signs for a trust domain."""

    cluster_id: str
    domain: str = DOMAIN

    @property
    def host(self) -> str:
        return f"{self.cluster_id}.{self.domain}".lower()

    @property
    def uri(self) -> str:
        return f"{SCHEME}://{self.host}"

    def may_sign(self, identity: Identity) -> bool:
        """Whether the identity is of this trust domain."""
        return identity.host.lower() == self.host


Identity = ServiceIdentity | AgentIdentity | SigningIdentity


def parse_identity(text: str) -> Identity:
    """Errors: SpiffeError."""
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise SpiffeError(str(error)) from None
    if parts.scheme != SCHEME:
        raise SpiffeError("SPIFFE ID must have 'spiffe' scheme")
    if _BROKEN_ESCAPE.search(text):
        raise SpiffeError("SPIFFE ID has a broken escape")
    if match := _SERVICE.fullmatch(parts.path):
        namespace, datacenter, service = (unquote(part) for part in match.groups())
        return ServiceIdentity(parts.netloc, namespace, datacenter, service)
    if match := _AGENT.fullmatch(parts.path):
        datacenter, agent = (unquote(part) for part in match.groups())
        return AgentIdentity(parts.netloc, datacenter, agent)
    cluster_id, dot, domain = parts.netloc.partition(".")
    if not parts.path and cluster_id and dot:
        return SigningIdentity(cluster_id, domain)
    raise SpiffeError("SPIFFE ID is not in the expected format")
