"""The catalog as the node's own daemons reach it: the HTTP API's register, deregister and node reads, through apid."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from checkd.core.records import Check, Service
from checkd.core.render import catalog_check, catalog_service
from checkd.forward import ForwardAnswer, ForwardClient, ForwardUnavailable
from lictor.config.runtime import RuntimeConfig

SEGMENT_META_KEY = "consul-network-segment"
NO_SERVER_TEXT = "No known Consul servers"
DENIED_TEXTS = ("Permission denied", "ACL not found")
MAX_STALE_QUERY = "stale&max_stale=2s"


class CatalogError(Exception):
    """A server refused; the text is its own."""


class NoServer(CatalogError):
    """The agent knows no server (yet)."""


class CatalogDenied(CatalogError):
    """The token does not allow it."""


class NodeIdentity(NamedTuple):
    """What the catalog knows about the node itself."""

    node_id: str
    name: str
    address: str
    tagged_addresses: dict[str, str]
    meta: dict[str, str]

    def compared(self) -> dict[str, Any]:
        """The part that full anti-entropy compares."""
        return {"ID": self.node_id, "TaggedAddresses": self.tagged_addresses, "Meta": self.meta}


def identity_of(config: RuntimeConfig) -> NodeIdentity:
    """The node as it registers itself; every node has the four usual tagged addresses of its IP version."""
    lan, wan = config.advertise_addr_lan, config.advertise_addr_wan
    addresses = {"lan": lan, "wan": wan}
    addresses["lan_ipv6" if ":" in lan else "lan_ipv4"] = lan
    addresses["wan_ipv6" if ":" in wan else "wan_ipv4"] = wan
    addresses.update(config.tagged_addresses)
    meta = {**config.node_meta, SEGMENT_META_KEY: ""}
    return NodeIdentity(config.node_id, config.node_name, lan, addresses, meta)


class RemoteNode(NamedTuple):
    """What the catalog holds about the node: itself (None when unknown), services and checks by ID."""

    node: dict[str, Any] | None
    services: dict[str, dict[str, Any]]
    checks: dict[str, dict[str, Any]]


class Catalog:
    """One node's view of the catalog. Every call raises ForwardUnavailable or CatalogError."""

    def __init__(self, forward: ForwardClient, identity: NodeIdentity) -> None:
        self._forward = forward
        self.identity = identity

    async def read(self, token: str) -> RemoteNode:
        """Everything the catalog holds about this node."""
        name = quote(self.identity.name, safe="")
        services = await self._get(f"/v1/catalog/node-services/{name}", token)
        checks = await self._get(f"/v1/health/node/{name}", token)
        found = services or {}
        return RemoteNode(
            found.get("Node"),
            {service["ID"]: service for service in found.get("Services") or []}
            if isinstance(found.get("Services"), list)
            else dict(found.get("Services") or {}),
            {check["CheckID"]: check for check in checks or []},
        )

    async def register(
        self, token: str, service: Service | None, checks: Sequence[Check], skip_node_update: bool
    ) -> None:
        """Register the node with a service and checks; all of it at once."""
        identity = self.identity
        body: dict[str, Any] = {
            "ID": identity.node_id,
            "Node": identity.name,
            "Address": identity.address,
            "TaggedAddresses": identity.tagged_addresses,
            "NodeMeta": identity.meta,
            "SkipNodeUpdate": skip_node_update,
        }
        if service is not None:
            body["Service"] = catalog_service(service)
        if len(checks) == 1:
            body["Check"] = catalog_check(checks[0], identity.name)
        elif checks:
            body["Checks"] = [catalog_check(check, identity.name) for check in checks]
        await self._put("/v1/catalog/register", body, token)

    async def deregister(self, token: str, *, service_id: str = "", check_id: str = "") -> None:
        """Remove one service or check of the node."""
        assert bool(service_id) != bool(check_id), "exactly one of them"
        body = {"Node": self.identity.name}
        body |= {"ServiceID": service_id} if service_id else {"CheckID": check_id}
        await self._put("/v1/catalog/deregister", body, token)

    async def update_coordinate(self, coordinate: dict[str, Any], token: str) -> None:
        """Send the node's network coordinate."""
        body = {"Node": self.identity.name, "Coord": coordinate}
        await self._put("/v1/coordinate/update", body, token)

    async def accessor_id(self, token: str) -> str:
        """The public name of a token, for log lines; empty when it is none, or nobody can tell."""
        try:
            found = await self._get("/v1/acl/token/self", token)
        except (CatalogError, ForwardUnavailable):
            return ""
        return str(found.get("AccessorID") or "") if isinstance(found, dict) else ""

    async def _get(self, path: str, token: str) -> Any:
        answer = await self._forward.request("GET", path, query=MAX_STALE_QUERY, token=token)
        _raise_for(answer)
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise CatalogError(f"{path} answered no JSON: {error}") from None

    async def _put(self, path: str, body: dict[str, Any], token: str) -> None:
        _raise_for(await self._forward.request("PUT", path, body=body, token=token))


def _raise_for(answer: ForwardAnswer) -> None:
    if answer.status == 200:
        return
    text = answer.text() or f"status {answer.status}"
    if answer.status == 403 or any(denied in text for denied in DENIED_TEXTS):
        raise CatalogDenied(text)
    raise NoServer(text) if text == NO_SERVER_TEXT else CatalogError(text)
