"""What can be wrong with the definitions of a configuration: services, checks and configuration entries."""

from __future__ import annotations

import msgspec

from lictor.config.decode import Values
from lictor.config.errors import ConfigError
from lictor.config.settings import Settings
from lictor.service_faults import MESH_GATEWAY_MODES, meta_fault, weights_fault
from lictor.state.config_decoding import decode_entry, validate_entry
from lictor.state.writer import Refused

_SPANS = ("interval", "timeout", "ttl", "deregister_critical_service_after")


def check_definitions(settings: Settings) -> None:
    """Add what is wrong to `settings.errors`. Raises ConfigError for a configuration entry that cannot be."""
    for check in settings.get("checks", ()):
        _check_spans(settings, check)
    for service in settings.get("services", ()):
        _check_service(settings, service)
    for position, entry in enumerate(settings.get("config_entries.bootstrap", ())):
        try:
            decoded = decode_entry(entry)
            # Of proxy defaults there is one; the API overlooks another name.
            given = str(entry.get("name", entry.get("Name", "")))
            validate_entry(msgspec.structs.replace(decoded, name=given))
        except Refused as refused:
            raise ConfigError(f"config_entries.bootstrap[{position}]: {refused.text}") from None


def _check_service(settings: Settings, service: Values) -> None:
    for check in [*service.get("checks", ()), *([service["check"]] if "check" in service else [])]:
        _check_spans(settings, check)
    name = service.get("name", "")
    if fault := meta_fault(service.get("meta", {})):
        settings.errors.append(f"invalid meta for service {name}: {fault}")
    weights = service.get("weights", {})
    if fault := weights_fault(weights.get("passing", 1), weights.get("warning", 1)):
        settings.errors.append(f"Invalid weight definition for service {name}: {fault}")
    proxy = service.get("proxy", {})
    for holder in [proxy, *proxy.get("upstreams", ())]:
        mode = holder.get("mesh_gateway", {}).get("mode", "")
        if mode not in MESH_GATEWAY_MODES:
            settings.errors.append(f'Invalid Mesh Gateway Mode: "{mode}"')
    sidecar = service.get("connect", {}).get("sidecar_service")
    if sidecar is not None:
        _check_service(settings, sidecar)
        if sidecar.get("id"):
            settings.errors.append("sidecar_service can't specify an ID")
        if "sidecar_service" in sidecar.get("connect", {}):
            settings.errors.append("sidecar_service can't have a nested sidecar_service")


def _check_spans(settings: Settings, check: Values) -> None:
    """Durations inside checks are kept as text; they must be durations all the same."""
    for key in _SPANS:
        settings.span_of(f"check[{check.get('id', '')}].{key}", check.get(key), 0)
