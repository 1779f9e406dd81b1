"""Configuration entries as JSON bodies: one canonical form per kind, and what makes an entry invalid."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lictor.state import canonical
from lictor.state.gotext import parse_duration_ns, quote

SERVICE_DEFAULTS = "service-defaults"
PROXY_DEFAULTS = "proxy-defaults"
ROUTER = "service-router"
SPLITTER = "service-splitter"
RESOLVER = "service-resolver"
KINDS = (SERVICE_DEFAULTS, PROXY_DEFAULTS, ROUTER, SPLITTER, RESOLVER)
GLOBAL = "global"
"""The one name of proxy-defaults."""
DEFAULT_NAMESPACE = "default"
SUBSET_LENGTH_MAX = 63
_SUBSET = re.compile("[a-z0-9]([a-z0-9-]*[a-z0-9])?")
WEIGHT_SCALE = 100
"""Weights count to two decimals."""

Body = dict[str, Any]


def single(value: float) -> float:
    """As a number of single precision, which weights are."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def scaled_weight(weight: float) -> int:
    """A weight in hundredths."""
    scaled = single(single(weight) * WEIGHT_SCALE)
    return int(math.copysign(math.floor(abs(scaled) + 0.5), scaled))


def split_weight(weight: float) -> float:
    """A weight as it is kept: to two decimals; whole ones as integers."""
    scaled = scaled_weight(weight)
    return scaled // WEIGHT_SCALE if scaled % WEIGHT_SCALE == 0 else scaled / WEIGHT_SCALE


def part_of_weight(weight: float, part: float) -> float:
    """So many per cent of a weight."""
    return single(single(single(weight) * single(part)) / 100)


def _kept(item: Mapping[str, Any], names: Sequence[str]) -> Body:
    """The named fields that are not zero, in this order."""
    return {name: item[name] for name in names if item.get(name)}


# ---------------------------------------------------------------------------------------------------- canonical forms


def config_body(kind: str, item: Mapping[str, Any]) -> Body:
    """The body of an entry without Kind, Name and indexes. Unknown fields are dropped. Errors: DurationError."""
    return _BODIES[kind](item)


def _service_defaults(item: Mapping[str, Any]) -> Body:
    body: Body = {
        "Protocol": str(item.get("Protocol") or "").lower(),
        "MeshGateway": canonical.mesh_gateway(item.get("MeshGateway")),
        "Expose": canonical.expose(item.get("Expose")),
    }
    return body | _kept(item, ("ExternalSNI",))


def _proxy_defaults(item: Mapping[str, Any]) -> Body:
    config = item.get("Config")
    return {
        "Config": None if config is None else canonical.value(config),
        "MeshGateway": canonical.mesh_gateway(item.get("MeshGateway")),
        "Expose": canonical.expose(item.get("Expose")),
    }


_HEADER = ("Name", "Present", "Exact", "Prefix", "Suffix", "Regex", "Invert")
_QUERY_PARAM = ("Name", "Present", "Exact", "Regex")


def _route(item: Mapping[str, Any]) -> Body:
    route: Body = {}
    match = item.get("Match")
    if match is not None:
        http = match.get("HTTP")
        route["Match"] = {} if http is None else {"HTTP": _http_match(http)}
    destination = item.get("Destination")
    if destination is not None:
        # The namespace is filled in only where methods are: that is where Consul does it.
        methods = ((match or {}).get("HTTP") or {}).get("Methods")
        route["Destination"] = _route_destination(destination, DEFAULT_NAMESPACE if methods else "")
    return route


def _http_match(http: Mapping[str, Any]) -> Body:
    match = _kept(http, ("PathExact", "PathPrefix", "PathRegex"))
    if http.get("Header"):
        match["Header"] = [{"Name": ""} | _kept(header, _HEADER) for header in http["Header"]]
    if http.get("QueryParam"):
        match["QueryParam"] = [{"Name": ""} | _kept(param, _QUERY_PARAM) for param in http["QueryParam"]]
    if http.get("Methods"):
        match["Methods"] = [str(method).upper() for method in http["Methods"]]
    return match


def _route_destination(item: Mapping[str, Any], namespace: str) -> Body:
    timeout = canonical.duration_text(item.get("RequestTimeout"))
    destination: Body = {"RequestTimeout": timeout} if timeout else {}
    whole = {**item, "Namespace": item.get("Namespace") or namespace}
    return destination | _kept(
        whole,
        (
            "Service",
            "ServiceSubset",
            "Namespace",
            "PrefixRewrite",
            "NumRetries",
            "RetryOnConnectFailure",
            "RetryOnStatusCodes",
        ),
    )


def _router(item: Mapping[str, Any]) -> Body:
    routes = item.get("Routes")
    return {"Routes": [_route(route or {}) for route in routes] if routes else None}


def _splitter(item: Mapping[str, Any]) -> Body:
    splits = item.get("Splits")
    if not splits:
        return {"Splits": None}
    return {
        "Splits": [
            {"Weight": split_weight((split or {}).get("Weight") or 0)}
            | _kept(split or {}, ("Service", "ServiceSubset", "Namespace"))
            for split in splits
        ]
    }


def _resolver(item: Mapping[str, Any]) -> Body:
    body: Body = {}
    timeout = canonical.duration_text(item.get("ConnectTimeout"))
    if timeout:
        body["ConnectTimeout"] = timeout
    body |= _kept(item, ("DefaultSubset",))
    subsets = item.get("Subsets")
    if subsets:
        body["Subsets"] = {name: _kept(subsets[name] or {}, ("Filter", "OnlyPassing")) for name in sorted(subsets)}
    redirect = item.get("Redirect")
    if redirect is not None:
        body["Redirect"] = _kept(redirect, ("Service", "ServiceSubset", "Namespace", "Datacenter"))
    failover = item.get("Failover")
    if failover:
        body["Failover"] = {
            name: _kept(failover[name] or {}, ("Service", "ServiceSubset", "Namespace", "Datacenters"))
            for name in sorted(failover)
        }
    return body


_BODIES: dict[str, Callable[[Mapping[str, Any]], Body]] = {
    SERVICE_DEFAULTS: _service_defaults,
    PROXY_DEFAULTS: _proxy_defaults,
    ROUTER: _router,
    SPLITTER: _splitter,
    RESOLVER: _resolver,
}

# ---------------------------------------------------------------------------------------------------- validation


def problem_of(kind: str, name: str, body: Body) -> str:
    """What is wrong with an entry in itself; empty when nothing is. Chains are checked when it is applied."""
    if kind == PROXY_DEFAULTS:
        return "" if name == GLOBAL else f"invalid name ({quote(name)}), only {quote(GLOBAL)} is supported"
    if kind == ROUTER:
        return _router_problem(name, body)
    if kind == SPLITTER:
        return _splitter_problem(name, body)
    if kind == RESOLVER:
        return _resolver_problem(name, body)
    return ""


def _router_problem(name: str, body: Body) -> str:
    if not name:
        return "Name is required"
    for number, route in enumerate(body["Routes"] or ()):
        problem = _route_problem(route)
        if problem:
            return f"Route[{number}] {problem}"
    return ""


def _route_problem(route: Body) -> str:
    http = (route.get("Match") or {}).get("HTTP") or {}
    for field in ("PathExact", "PathPrefix"):
        if field in http and not http[field].startswith("/"):
            return f"{field} doesn't start with '/': {quote(http[field])}"
    if sum(field in http for field in ("PathExact", "PathPrefix", "PathRegex")) > 1:
        return "should only contain at most one of PathExact, PathPrefix, or PathRegex"
    for number, header in enumerate(http.get("Header", ())):
        if not header["Name"]:
            return f"Header[{number}] missing required Name field"
        if sum(field in header for field in ("Present", "Exact", "Prefix", "Suffix", "Regex")) != 1:
            return f"Header[{number}] should only contain one of Present, Exact, Prefix, Suffix, or Regex"
    for number, param in enumerate(http.get("QueryParam", ())):
        if not param["Name"]:
            return f"QueryParam[{number}] missing required Name field"
        if sum(field in param for field in ("Present", "Exact", "Regex")) != 1:
            return f"QueryParam[{number}] should only contain one of Present, Exact, or Regex"
    methods: list[str] = http.get("Methods", [])
    for number, method in enumerate(methods):
        if method in methods[:number]:
            return f"Methods contains {quote(method)} more than once"
    destination = route.get("Destination") or {}
    if "PrefixRewrite" in destination and not ("PathExact" in http or "PathPrefix" in http):
        return "cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix"
    return ""


def _splitter_problem(name: str, body: Body) -> str:
    if not name:
        return "Name is required"
    if not body["Splits"]:
        return "no splits configured"
    seen = set()
    scaled_sum = 0
    for split in body["Splits"]:
        key = (split.get("Service") or name, split.get("ServiceSubset", ""), split.get("Namespace", ""))
        if key in seen:
            return (
                f"split destination occurs more than once: service={quote(key[0])}, "
                f"subset={quote(key[1])}, namespace={quote(key[2])}"
            )
        seen.add(key)
        scaled_sum += scaled_weight(split["Weight"])
    if scaled_sum != 100 * WEIGHT_SCALE:
        return f"the sum of all split weights must be 100, not {single(single(scaled_sum) / WEIGHT_SCALE):f}"
    return ""


def _resolver_problem(name: str, body: Body) -> str:
    if not name:
        return "Name is required"
    subsets = body.get("Subsets", {})
    for subset in subsets:
        if not subset:
            return "Subset defined with empty name"
        if len(subset.encode()) > SUBSET_LENGTH_MAX:
            return f"Subset {quote(subset)} is invalid: must be non-empty and 63 characters or fewer"
        if _SUBSET.fullmatch(subset) is None:
            return (
                f"Subset {quote(subset)} is invalid: must be 63 characters or fewer, begin or end with lower case "
                "alphanumeric characters, and contain lower case alphanumeric characters or '-' in between"
            )
    default = body.get("DefaultSubset", "")
    if default and default not in subsets:
        return f"DefaultSubset {quote(default)} is not a valid subset"
    problem = _redirect_problem(name, body, subsets) or _failover_problem(name, body, subsets)
    if problem:
        return problem
    timeout = body.get("ConnectTimeout", "")
    if timeout and parse_duration_ns(timeout) < 0:
        return f"Bad ConnectTimeout '{timeout}', must be >= 0"
    return ""


def _redirect_problem(name: str, body: Body, subsets: Body) -> str:
    redirect = body.get("Redirect")
    if redirect is None:
        return ""
    if body.get("Failover"):
        return "Redirect and Failover cannot both be set"
    if not redirect:
        return "Redirect is empty"
    subset = redirect.get("ServiceSubset", "")
    if not redirect.get("Service"):
        if subset:
            return "Redirect.ServiceSubset defined without Redirect.Service"
        if redirect.get("Namespace"):
            return "Redirect.Namespace defined without Redirect.Service"
    elif redirect["Service"] == name and subset and subset not in subsets:
        return f"Redirect.ServiceSubset {quote(subset)} is not a valid subset of {quote(name)}"
    return ""


def _failover_problem(name: str, body: Body, subsets: Body) -> str:
    for key, failover in body.get("Failover", {}).items():
        if key != "*" and key not in subsets:
            return f"Bad Failover[{quote(key)}]: not a valid subset"
        if not failover:
            return f"Bad Failover[{quote(key)}] one of Service, ServiceSubset, Namespace, or Datacenters is required"
        subset = failover.get("ServiceSubset", "")
        if subset and failover.get("Service", name) == name and subset not in subsets:
            named = quote(failover.get("Service", ""))
            return f"Bad Failover[{quote(key)}].ServiceSubset {quote(subset)} is not a valid subset of {named}"
        if "" in failover.get("Datacenters", ()):
            return f"Bad Failover[{quote(key)}].Datacenters: found empty datacenter"
    return ""


def related_services(kind: str, name: str, body: Body) -> set[str]:
    """The services that an entry sends traffic to, its own included."""
    found = {name}
    if kind == ROUTER:
        found |= {(route.get("Destination") or {}).get("Service") or name for route in body["Routes"] or ()}
    elif kind == SPLITTER:
        found |= {split.get("Service") or name for split in body["Splits"] or ()}
    elif kind == RESOLVER:
        found.add((body.get("Redirect") or {}).get("Service") or name)
        found |= {failover.get("Service") or name for failover in body.get("Failover", {}).values()}
    return found
