"""Compiling a discovery chain: router, splitters and resolvers of a service into a graph of nodes and targets.

Pure: entries come through a look-up function. Names of nodes and targets are Consul's
(`resolver:web.default.dc1`, `v1.web.default.dc1`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from lictor.state.config_entries import (
    DEFAULT_NAMESPACE,
    GLOBAL,
    PROXY_DEFAULTS,
    RESOLVER,
    ROUTER,
    SERVICE_DEFAULTS,
    SPLITTER,
    Body,
)
from lictor.state.gotext import format_duration, quote

CONNECT_TIMEOUT_DEFAULT = "5s"
HTTP_LIKE = frozenset({"http", "http2", "grpc"})
TCP = "tcp"
DEPTH_MAX = 100
"""Splitters and redirects behind each other."""

Lookup = Callable[[str, str], Body | None]
"""The body of an entry by kind and name."""


class ChainError(Exception):
    """The entries do not make a sound chain."""


class Overrides(msgspec.Struct, frozen=True):
    """What a proxy asks for in its own view of the chain."""

    mesh_gateway_mode: str = ""
    protocol: str = ""
    connect_timeout_ns: int = 0


class Target(msgspec.Struct, frozen=True):
    """Where traffic ends: a service, maybe a subset of it, in a datacenter."""

    service: str
    subset: str
    namespace: str
    datacenter: str

    @property
    def id(self) -> str:
        plain = f"{self.service}.{self.namespace}.{self.datacenter}"
        return f"{self.subset}.{plain}" if self.subset else plain

    def rewritten(self, change: Body) -> Target:
        """Towards another service the subset is not kept."""
        service = change.get("Service") or self.service
        subset = change.get("ServiceSubset", "")
        if service == self.service and not change.get("ServiceSubset"):
            subset = self.subset
        return Target(
            service,
            subset,
            change.get("Namespace") or self.namespace,
            change.get("Datacenter") or self.datacenter,
        )


class Chain(msgspec.Struct, frozen=True):
    service: str
    namespace: str
    datacenter: str
    protocol: str
    start_node: str
    nodes: dict[str, Body]
    targets: dict[str, Body]
    customization_hash: str = ""


def compile_chain(
    lookup: Lookup, service: str, datacenter: str, trust_domain: str = "", overrides: Overrides | None = None
) -> Chain:
    """The chain of a service as seen from a datacenter. Errors: ChainError."""
    if not service:
        raise ChainError("serviceName is required")
    return _Compiler(lookup, service, datacenter, trust_domain, overrides or Overrides()).compile()


class _Compiler:
    def __init__(self, lookup: Lookup, service: str, datacenter: str, trust_domain: str, overrides: Overrides) -> None:
        self._lookup = lookup
        self._service = service
        self._datacenter = datacenter
        self._trust_domain = trust_domain
        self._overrides = overrides
        self._nodes: dict[str, Body] = {}
        self._targets: dict[str, Body] = {}
        self._protocol = ""
        self._advanced = False
        # An overridden protocol that cannot route makes the chain a plain resolver.
        self._may_route = not overrides.protocol or overrides.protocol in HTTP_LIKE

    def compile(self) -> Chain:
        start = self._start()
        protocol = self._overrides.protocol or self._protocol
        if self._advanced and protocol not in HTTP_LIKE:
            raise ChainError(
                f"discovery chain {quote(self._service)} uses a protocol {quote(protocol)} "
                "that does not permit advanced routing or splitting behavior"
            )
        return Chain(
            self._service,
            DEFAULT_NAMESPACE,
            self._datacenter,
            protocol,
            start,
            self._nodes,
            self._targets,
            _customization(self._overrides),
        )

    def _start(self) -> str:
        router = self._lookup(ROUTER, self._service) if self._may_route else None
        if router is None:
            return self._splitter_or_resolver(self._target(self._service, ""), 0)
        self._advanced = True
        self._record_protocol(self._service)
        name = f"{self._service}.{DEFAULT_NAMESPACE}"
        routes = []
        for route in router["Routes"] or ():
            destination = route.get("Destination") or {}
            target = self._target(destination.get("Service") or self._service, destination.get("ServiceSubset", ""))
            if target.subset:
                following = self._resolver(target)
            else:
                following = self._splitter_or_resolver(target, 0)
            routes.append({"Definition": route, "NextNode": following})
        following = self._splitter_or_resolver(self._target(self._service, ""), 0)
        routes.append(
            {
                "Definition": {
                    "Match": {"HTTP": {"PathPrefix": "/"}},
                    "Destination": {"Service": self._service, "Namespace": DEFAULT_NAMESPACE},
                },
                "NextNode": following,
            }
        )
        self._nodes[f"router:{name}"] = {"Type": "router", "Name": name, "Routes": routes}
        return f"router:{name}"

    def _target(self, service: str, subset: str) -> Target:
        return Target(service, subset, DEFAULT_NAMESPACE, self._datacenter)

    def _splitter_or_resolver(self, target: Target, depth: int) -> str:
        splitter = self._lookup(SPLITTER, target.service) if self._may_route else None
        if splitter is None:
            return self._resolver(target)
        if depth > DEPTH_MAX:
            raise ChainError(f"detected circular reference: [{quote(target.service)}]")
        name = f"{target.service}.{DEFAULT_NAMESPACE}"
        key = f"splitter:{name}"
        if key in self._nodes:
            return key
        self._advanced = True
        self._record_protocol(target.service)
        splits = []
        for split in splitter["Splits"] or ():
            service = split.get("Service") or target.service
            following = self._target(service, split.get("ServiceSubset", ""))
            if not following.subset and service != target.service:
                splits += self._flattened(split["Weight"], self._splitter_or_resolver(following, depth + 1))
            else:
                splits.append({"Weight": split["Weight"], "NextNode": self._resolver(following)})
        self._nodes[key] = {"Type": "splitter", "Name": name, "Splits": splits}
        return key

    def _flattened(self, weight: float, key: str) -> list[Body]:
        """A split that leads to a splitter is replaced by that one's splits, weights multiplied."""
        if not key.startswith("splitter:"):
            return [{"Weight": weight, "NextNode": key}]
        inner = self._nodes.pop(key)
        return [
            {"Weight": _shown_number(round(weight * split["Weight"] / 100, 2)), "NextNode": split["NextNode"]}
            for split in inner["Splits"]
        ]

    def _resolver(self, target: Target) -> str:
        target, resolver = self._resolved(target)
        key = f"resolver:{target.id}"
        if key in self._nodes:
            return key
        self._record_protocol(target.service)
        timeout = resolver.get("ConnectTimeout") or CONNECT_TIMEOUT_DEFAULT
        if self._overrides.connect_timeout_ns > 0:
            timeout = format_duration(self._overrides.connect_timeout_ns)
        shown: Body = {} if resolver else {"Default": True}
        shown |= {"ConnectTimeout": timeout, "Target": target.id}
        self._nodes[key] = {"Type": "resolver", "Name": target.id, "Resolver": shown}
        self._add_target(target, resolver)
        failover = resolver.get("Failover", {})
        rule = failover.get(target.subset) or failover.get("*")
        if rule:
            others = self._failover_targets(target, rule)
            if others:
                shown["Failover"] = {"Targets": others}
        return key

    def _resolved(self, target: Target) -> tuple[Target, Body]:
        """Follows redirects and default subsets to where a target really is."""
        passed: list[str] = []
        while True:
            resolver = self._lookup(RESOLVER, target.service) or {}
            if target.id in passed:
                raise ChainError(
                    "detected circular resolver redirect: [" + " -> ".join(quote(x) for x in [*passed, target.id]) + "]"
                )
            passed.append(target.id)
            redirect = resolver.get("Redirect")
            if redirect:
                following = target.rewritten(redirect)
                if following != target:
                    target = following
                    continue
            default = resolver.get("DefaultSubset", "")
            if default and not target.subset:
                target = Target(target.service, default, target.namespace, target.datacenter)
            if target.subset and target.subset not in resolver.get("Subsets", {}):
                raise ChainError(f"service {quote(target.service)} does not have a subset named {quote(target.subset)}")
            return target, resolver

    def _failover_targets(self, target: Target, rule: Body) -> list[str]:
        found: list[str] = []
        datacenters = rule.get("Datacenters") or [""]
        for datacenter in datacenters:
            other = target.rewritten({**rule, "Datacenter": datacenter})
            resolved, resolver = self._resolved(other)
            if resolved == target:
                continue
            self._record_protocol(resolved.service)
            self._add_target(resolved, resolver)
            if resolved.id not in found:
                found.append(resolved.id)
        return found

    def _add_target(self, target: Target, resolver: Body) -> None:
        if target.id in self._targets:
            return
        defaults = self._lookup(SERVICE_DEFAULTS, target.service) or {}
        shown: Body = {"ID": target.id, "Service": target.service}
        if target.subset:
            shown["ServiceSubset"] = target.subset
        shown |= {
            "Namespace": target.namespace,
            "Datacenter": target.datacenter,
            "MeshGateway": self._mesh_gateway(target, defaults),
            "Subset": resolver.get("Subsets", {}).get(target.subset, {}),
        }
        name = _server_name(target, self._trust_domain)
        external = defaults.get("ExternalSNI", "")
        if external:
            shown["External"] = True
        shown["SNI"] = external or name
        shown["Name"] = name
        self._targets[target.id] = shown

    def _mesh_gateway(self, target: Target, defaults: Body) -> Body:
        if self._overrides.mesh_gateway_mode:
            return {"Mode": self._overrides.mesh_gateway_mode}
        if defaults.get("MeshGateway"):
            return dict(defaults["MeshGateway"])
        proxy_defaults = self._lookup(PROXY_DEFAULTS, GLOBAL) or {}
        return dict(proxy_defaults.get("MeshGateway") or {})

    def _record_protocol(self, service: str) -> None:
        protocol = service_protocol(self._lookup, service)
        if not self._protocol:
            self._protocol = protocol
        elif self._protocol != protocol:
            raise ChainError(
                f"discovery chain {quote(self._service)} uses inconsistent protocols; service {quote(service)} "
                f"has {quote(protocol)} which is not {quote(self._protocol)}"
            )


def _customization(overrides: Overrides) -> str:
    """Tells customised chains of one service apart; empty for the plain one."""
    if overrides == Overrides():
        return ""
    return hashlib.blake2b(msgspec.msgpack.encode(overrides), digest_size=4).hexdigest()


def _server_name(target: Target, trust_domain: str) -> str:
    parts = [target.subset] if target.subset else []
    return ".".join([*parts, target.service, target.namespace, target.datacenter, "internal", trust_domain])


def _shown_number(value: float) -> float | int:
    return int(value) if value == int(value) else value


def service_protocol(lookup: Lookup, service: str) -> str:
    """The protocol of a service: its own defaults, else those of all proxies, else tcp."""
    own = (lookup(SERVICE_DEFAULTS, service) or {}).get("Protocol")
    if own:
        return str(own)
    config: dict[str, Any] = (lookup(PROXY_DEFAULTS, GLOBAL) or {}).get("Config") or {}
    return str(config.get("protocol") or TCP)


def chain_dict(chain: Chain) -> Body:
    """The chain as /v1/discovery-chain shows it."""
    shown: Body = {
        "ServiceName": chain.service,
        "Namespace": chain.namespace,
        "Datacenter": chain.datacenter,
    }
    if chain.customization_hash:
        shown["CustomizationHash"] = chain.customization_hash
    shown["Protocol"] = chain.protocol
    shown["StartNode"] = chain.start_node
    shown["Nodes"] = {key: chain.nodes[key] for key in sorted(chain.nodes)}
    shown["Targets"] = {key: chain.targets[key] for key in sorted(chain.targets)}
    return shown
