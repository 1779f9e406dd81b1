"""Compiling a discovery chain: router, splitters and resolvers of a service into a graph of nodes and targets.

Pure: entries come through a look-up function. Names of nodes and targets are Consul's
(`resolver:web.default.dc1`, `v1.web.default.dc1`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from lictor.state.config_entries import (
    DEFAULT_NAMESPACE,
    GLOBAL,
    PROXY_DEFAULTS,
    RESOLVER,
    ROUTER,
    SERVICE_DEFAULTS,
    SPLITTER,
    Body,
    part_of_weight,
    split_weight,
)
from lictor.state.discovery.customization import Overrides, customization_hash
from lictor.state.gotext import format_duration, quote

CONNECT_TIMEOUT_DEFAULT = "5s"
HTTP_LIKE = frozenset({"http", "http2", "grpc"})
TCP = "tcp"
_CIRCLE_END = "_popvisit"

Lookup = Callable[[str, str], Body | None]
"""The body of an entry by kind and name."""


class ChainError(Exception):
    """The entries do not make a sound chain."""


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
    lookup: Lookup,
    service: str,
    datacenter: str,
    trust_domain: str = "",
    overrides: Overrides | None = None,
    own_datacenter: str = "",
) -> Chain:
    """The chain of a service as seen from a datacenter; `own_datacenter` (default: that one) is where it is used.

    Errors: ChainError.
    """
    if not service:
        raise ChainError("serviceName is required")
    return _Compiler(
        lookup, service, datacenter, trust_domain, overrides or Overrides(), own_datacenter or datacenter
    ).compile()


class _Compiler:
    """Assembles nodes and targets, then tidies the graph."""

    def __init__(
        self,
        lookup: Lookup,
        service: str,
        datacenter: str,
        trust_domain: str,
        overrides: Overrides,
        own_datacenter: str,
    ) -> None:
        self._lookup = lookup
        self._service = service
        self._datacenter = datacenter
        self._trust_domain = trust_domain
        self._overrides = overrides
        self._own_datacenter = own_datacenter
        self._nodes: dict[str, Body] = {}
        self._targets: dict[str, Body] = {}
        self._kept: set[str] = set()
        """The targets that traffic can reach; others were only passed on the way."""
        self._protocol = ""
        self._advanced = False
        # An overridden protocol that cannot route makes the chain a plain resolver.
        self._may_route = not overrides.protocol or overrides.protocol in HTTP_LIKE
        self._customized = Overrides()
        """The overrides that made a difference."""

    def compile(self) -> Chain:
        start = self._start()
        self._refuse_circles(start)
        while self._flatten_splitters():
            pass
        self._drop_unused(start)
        if self._advanced and self._protocol not in HTTP_LIKE:
            raise ChainError(
                f"discovery chain {quote(self._service)} uses a protocol {quote(self._protocol)} "
                "that does not permit advanced routing or splitting behavior"
            )
        protocol = self._overrides.protocol or self._protocol
        if protocol != self._protocol:
            self._customize(protocol=protocol)
        return Chain(
            self._service,
            DEFAULT_NAMESPACE,
            self._datacenter,
            protocol,
            start,
            self._nodes,
            {key: target for key, target in self._targets.items() if key in self._kept},
            customization_hash(self._customized),
        )

    def _customize(self, **changed: Any) -> None:
        self._customized = replace(self._customized, **changed)

    # ------------------------------------------------------------------------------------------------ assembling

    def _start(self) -> str:
        router = self._advanced_entry(ROUTER, self._service)
        if router is None:
            return self._splitter_or_resolver(self._target(self._service))
        self._advanced = True
        self._record_protocol(self._service)
        name = f"{self._service}.{DEFAULT_NAMESPACE}"
        routes = []
        for route in router["Routes"] or ():
            destination = route.get("Destination") or {}
            target = self._target(
                destination.get("Service") or self._service,
                destination.get("ServiceSubset", ""),
                destination.get("Namespace") or DEFAULT_NAMESPACE,
            )
            following = self._resolver(target) if target.subset else self._splitter_or_resolver(target)
            routes.append({"Definition": route, "NextNode": following})
        routes.append(
            {
                "Definition": {
                    "Match": {"HTTP": {"PathPrefix": "/"}},
                    "Destination": {"Service": self._service, "Namespace": DEFAULT_NAMESPACE},
                },
                "NextNode": self._splitter_or_resolver(self._target(self._service)),
            }
        )
        self._nodes[f"router:{name}"] = {"Type": "router", "Name": name, "Routes": routes}
        return f"router:{name}"

    def _advanced_entry(self, kind: str, service: str) -> Body | None:
        entry = self._lookup(kind, service)
        if entry is not None and not self._may_route:
            self._customize(protocol=self._overrides.protocol)
            return None
        return entry

    def _target(
        self, service: str, subset: str = "", namespace: str = DEFAULT_NAMESPACE, datacenter: str = ""
    ) -> Target:
        return self._loaded(Target(service, subset, namespace, datacenter or self._datacenter))

    def _loaded(self, target: Target) -> Target:
        if target.id not in self._targets:
            name = _server_name(target, self._trust_domain)
            shown: Body = {"ID": target.id, "Service": target.service}
            if target.subset:
                shown["ServiceSubset"] = target.subset
            shown |= {"Namespace": target.namespace, "Datacenter": target.datacenter, "MeshGateway": {}, "Subset": {}}
            self._targets[target.id] = shown | {"SNI": name, "Name": name}
        return target

    def _splitter_or_resolver(self, target: Target) -> str:
        return self._splitter(target.service) or self._resolver(target)

    def _splitter(self, service: str) -> str:
        """The splitter's node; empty when the service has none."""
        name = f"{service}.{DEFAULT_NAMESPACE}"
        key = f"splitter:{name}"
        if key in self._nodes:
            return key
        splitter = self._advanced_entry(SPLITTER, service)
        if splitter is None:
            return ""
        splits: list[Body] = []
        # Known before its splits are: they may lead back here, which is found out later.
        self._nodes[key] = {"Type": "splitter", "Name": name, "Splits": splits}
        for split in splitter["Splits"] or ():
            destination, subset = split.get("Service") or service, split.get("ServiceSubset", "")
            following = self._splitter(destination) if destination != service and not subset else ""
            following = following or self._resolver(self._target(destination, subset))
            splits.append({"Weight": split["Weight"], "NextNode": following})
        self._advanced = True
        return key

    def _resolver(self, target: Target, for_failover: bool = False) -> str:
        """The resolver's node, where redirects lead; its target's ID instead when it is asked for as a failover."""
        passed: list[str] = []
        while True:
            key = f"resolver:{target.id}"
            if key in self._nodes:
                return target.id if for_failover else key
            self._record_protocol(target.service)
            resolver = self._lookup(RESOLVER, target.service) or {}
            passed.append(target.id)
            if target.id in passed[:-1]:
                raise ChainError(f"detected circular resolver redirect: [{' -> '.join(passed)}]")
            following = target.rewritten(resolver.get("Redirect") or {})
            if following == target and not target.subset and resolver.get("DefaultSubset"):
                following = target.rewritten({"ServiceSubset": resolver["DefaultSubset"]})
            if following == target:
                break
            target = self._loaded(following)
        if target.subset and target.subset not in resolver.get("Subsets", {}):
            raise ChainError(f"service {quote(target.service)} does not have a subset named {quote(target.subset)}")
        shown: Body = {"ConnectTimeout": self._timeout(resolver)}
        if not resolver:
            shown["Default"] = True
        shown["Target"] = target.id
        self._describe(target, resolver)
        if for_failover:
            return target.id
        self._nodes[key] = {"Type": "resolver", "Name": target.id, "Resolver": shown}
        others = [self._resolver(other, for_failover=True) for other in self._failover_targets(target, resolver)]
        if others:
            shown["Failover"] = {"Targets": others}
        return key

    def _timeout(self, resolver: Body) -> str:
        timeout = str(resolver.get("ConnectTimeout") or CONNECT_TIMEOUT_DEFAULT)
        if self._overrides.connect_timeout_ns <= 0:
            return timeout
        overridden = format_duration(self._overrides.connect_timeout_ns)
        if overridden != timeout:
            self._customize(connect_timeout_ns=self._overrides.connect_timeout_ns)
        return overridden

    def _describe(self, target: Target, resolver: Body) -> None:
        """What is known of a target that traffic reaches."""
        defaults = self._lookup(SERVICE_DEFAULTS, target.service) or {}
        shown = self._targets[target.id]
        shown["Subset"] = resolver.get("Subsets", {}).get(target.subset, {})
        external = defaults.get("ExternalSNI", "")
        if external:
            for field, what in (("Redirect", "redirects"), ("Subsets", "subsets"), ("Failover", "failover")):
                if resolver.get(field):
                    raise ChainError(
                        f"service {quote(target.service)} has an external SNI set; "
                        f"cannot define {what} for external services"
                    )
            name = shown.pop("Name")
            shown.pop("SNI")
            shown |= {"External": True, "SNI": external, "Name": name}
        elif target.datacenter != self._own_datacenter:
            shown["MeshGateway"] = self._mesh_gateway(defaults)
        self._kept.add(target.id)

    def _mesh_gateway(self, defaults: Body) -> Body:
        mode = (defaults.get("MeshGateway") or {}).get("Mode", "")
        if not mode:
            proxy_defaults = self._lookup(PROXY_DEFAULTS, GLOBAL) or {}
            mode = (proxy_defaults.get("MeshGateway") or {}).get("Mode", "")
        wanted = self._overrides.mesh_gateway_mode
        if wanted and wanted != mode:
            self._customize(mesh_gateway_mode=wanted)
            mode = wanted
        return {"Mode": mode} if mode else {}

    def _failover_targets(self, target: Target, resolver: Body) -> list[Target]:
        failover = resolver.get("Failover") or {}
        rule = failover.get(target.subset, failover.get("*"))
        if rule is None:
            return []
        others = [
            target.rewritten({**rule, "Datacenter": datacenter}) for datacenter in rule.get("Datacenters") or ("",)
        ]
        return [self._loaded(other) for other in others if other != target]

    def _record_protocol(self, service: str) -> None:
        protocol = service_protocol(self._lookup, service)
        if not self._protocol:
            self._protocol = protocol
        elif self._protocol != protocol:
            raise ChainError(
                f"discovery chain {quote(self._service)} uses inconsistent protocols; service {quote(service)} "
                f"has {quote(protocol)} which is not {quote(self._protocol)}"
            )

    # ------------------------------------------------------------------------------------------------ tidying

    def _following(self, key: str) -> list[str]:
        node = self._nodes[key]
        return [item["NextNode"] for item in node.get("Routes", ()) or node.get("Splits", ())]

    def _refuse_circles(self, start: str) -> None:
        todo = [start]
        path: list[str] = []
        while todo:
            current = todo.pop()
            if current == _CIRCLE_END:
                path.pop()
                continue
            path.append(current)
            if current in path[:-1]:
                raise ChainError(f"detected circular reference: [{' -> '.join(path)}]")
            todo.append(_CIRCLE_END)
            todo += self._following(current)

    def _flatten_splitters(self) -> bool:
        """Splits that lead to a splitter are replaced by that one's, weights multiplied; whether there were any."""
        changed = False
        for node in self._nodes.values():
            if node["Type"] != "splitter" or not any(x["NextNode"].startswith("splitter:") for x in node["Splits"]):
                continue
            changed = True
            node["Splits"] = [
                flat
                for split in node["Splits"]
                for flat in (
                    [split]
                    if not split["NextNode"].startswith("splitter:")
                    else [
                        {
                            "Weight": split_weight(part_of_weight(split["Weight"], inner["Weight"])),
                            "NextNode": inner["NextNode"],
                        }
                        for inner in self._nodes[split["NextNode"]]["Splits"]
                    ]
                )
            ]
        return changed

    def _drop_unused(self, start: str) -> None:
        used: set[str] = set()
        todo = [start]
        while todo:
            key = todo.pop()
            if key not in used:
                used.add(key)
                todo += self._following(key)
        self._nodes = {key: node for key, node in self._nodes.items() if key in used}


def _server_name(target: Target, trust_domain: str) -> str:
    parts = [target.subset] if target.subset else []
    return ".".join([*parts, target.service, target.namespace, target.datacenter, "internal", trust_domain])


def service_protocol(lookup: Lookup, service: str) -> str:
    """The protocol of a service: its own defaults if it has any, else those of all proxies, else tcp."""
    own = lookup(SERVICE_DEFAULTS, service)
    if own is not None:
        return str(own.get("Protocol") or TCP)
    config: dict[str, Any] = (lookup(PROXY_DEFAULTS, GLOBAL) or {}).get("Config") or {}
    return str(config.get("protocol") or TCP).lower()


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
    shown["Nodes"] = {key: _shown_node(chain.nodes[key]) for key in sorted(chain.nodes)}
    shown["Targets"] = {key: chain.targets[key] for key in sorted(chain.targets)}
    return shown


def _shown_node(node: Body) -> Body:
    """A weight of zero is left out."""
    if node["Type"] != "splitter":
        return node
    return node | {"Splits": [{key: item for key, item in split.items() if item} for split in node["Splits"]]}
