"""Proxy definitions in the form that the API shows."""

from __future__ import annotations

from typing import Any

_ORDER = ("DestinationServiceName", "DestinationServiceID", "LocalServiceAddress", "LocalServicePort", "Config")
_UPSTREAM_ORDER = (
    "DestinationType",
    "DestinationNamespace",
    "DestinationName",
    "Datacenter",
    "LocalBindAddress",
    "LocalBindPort",
    "Config",
)


def shown_proxy(proxy: dict[str, Any] | None) -> dict[str, Any]:
    """A proxy's configuration in the form of the API: empty fields left out, keys in its order."""
    given = proxy or {}
    shown: dict[str, Any] = {key: given[key] for key in _ORDER if given.get(key)}
    if given.get("Upstreams"):
        shown["Upstreams"] = [_shown_upstream(upstream) for upstream in given["Upstreams"]]
    shown["MeshGateway"] = _shown_mesh_gateway(given)
    expose = given.get("Expose") or {}
    shown["Expose"] = {key: expose[key] for key in ("Checks", "Paths") if expose.get(key)}
    if "Paths" in shown["Expose"]:
        shown["Expose"]["Paths"] = [_shown_path(path) for path in expose["Paths"]]
    return shown


def _shown_upstream(upstream: dict[str, Any]) -> dict[str, Any]:
    completed = {**upstream, "DestinationType": upstream.get("DestinationType") or "service"}
    shown = {key: completed[key] for key in _UPSTREAM_ORDER if completed.get(key)}
    shown["MeshGateway"] = _shown_mesh_gateway(upstream)
    return shown


def _shown_path(path: dict[str, Any]) -> dict[str, Any]:
    shown = {key: path[key] for key in ("ListenerPort", "Path", "LocalPathPort", "Protocol") if path.get(key)}
    return shown | {"ParsedFromCheck": False}


def _shown_mesh_gateway(holder: dict[str, Any]) -> dict[str, Any]:
    mode = (holder.get("MeshGateway") or {}).get("Mode", "")
    return {"Mode": mode} if mode else {}
