"""Service identities: the rights that come with a service's name instead of a policy."""

from __future__ import annotations

from collections.abc import Iterable

from lictor.state.rows import ServiceIdentity


def service_rules(service_name: str) -> str:
    """The rules of a service identity, as a policy's text: the service, its proxy, and what they must discover."""
    return (
        f'\nservice "{service_name}" {{\n\tpolicy = "write"\n}}'
        f'\nservice "{service_name}-sidecar-proxy" {{\n\tpolicy = "write"\n}}'
        '\nservice_prefix "" {\n\tpolicy = "read"\n}'
        '\nnode_prefix "" {\n\tpolicy = "read"\n}'
    )


def distinct(identities: Iterable[ServiceIdentity]) -> list[ServiceIdentity]:
    """One per service, by name; it holds wherever one of them does."""
    found: dict[str, ServiceIdentity] = {}
    for identity in identities:
        old = found.get(identity.service_name)
        if old is None:
            found[identity.service_name] = identity
        elif not old.datacenters or not identity.datacenters:
            found[identity.service_name] = ServiceIdentity(identity.service_name)
        else:
            datacenters = sorted({*old.datacenters, *identity.datacenters})
            found[identity.service_name] = ServiceIdentity(identity.service_name, datacenters)
    return [found[name] for name in sorted(found)]
