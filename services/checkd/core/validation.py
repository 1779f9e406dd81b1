"""What a definition must fulfil before it is registered, with the texts of Consul 1.7's HTTP API."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from checkd.core.access import Access
from checkd.core.definitions import CheckDefinition, ServiceDefinition
from checkd.core.errors import InvalidDefinition, LocalStateError
from checkd.core.status import STATUSES
from lictor.service_faults import joined_faults, meta_fault, proxy_faults, weights_fault

MAX_DNS_LABEL_LENGTH = 63
_NOT_DNS = re.compile(r"[^A-Za-z0-9\-]")


def check_fault(check: CheckDefinition) -> str:
    """What is wrong with how a check is defined; empty when nothing is."""
    if check.interval_ns > 0 and check.ttl_ns > 0:
        return "Interval and TTL cannot both be specified"
    if check.is_interval and check.interval_ns <= 0:
        return "Interval must be > 0 for Script, HTTP, or TCP checks"
    if check.is_interval and check.is_alias:
        return "Interval cannot be set for Alias checks"
    if check.is_alias and check.ttl_ns > 0:
        return "TTL must be not be set for Alias checks"
    if not check.is_interval and not check.is_alias and check.ttl_ns <= 0:
        return "TTL must be > 0 for TTL checks"
    if check.output_max_size < 0:
        return "MaxOutputMaxSize must be positive"
    if check.failures_before_warning and check.failures_before_warning > check.failures_before_critical:
        return "FailuresBeforeWarning can't be higher than FailuresBeforeCritical"
    return ""


def validate_check(check: CheckDefinition, access: Access | None = None) -> None:
    """Raises InvalidDefinition unless a check of its own may be registered; its token is looked up on the way."""
    if not check.name:
        raise InvalidDefinition("Missing check name")
    if check.status and check.status not in STATUSES:
        raise InvalidDefinition("Bad check status")
    if access is not None:
        access.resolve()
    if fault := check_fault(check):
        raise InvalidDefinition(f"Invalid check: {fault}")


def validate_service(service: ServiceDefinition, access: Access | None = None) -> None:
    """Raises InvalidDefinition unless the service, its checks and its sidecar's may be registered; its token is looked
    up on the way."""
    if not service.name:
        raise InvalidDefinition("Missing service name")
    if is_unspecified(service.address):
        raise InvalidDefinition("Invalid service address")
    if access is not None:
        access.resolve()
    if service.weights is not None and (fault := weights_fault(service.weights.passing, service.weights.warning)):
        raise InvalidDefinition(f"Invalid Weights: {fault}")
    if fault := meta_fault(service.meta or {}):
        raise InvalidDefinition(f"Invalid Service Meta: {fault}")
    if faults := service_faults(service):
        raise InvalidDefinition(joined_faults(faults))
    _validate_service_checks(service.checks, "Invalid check")
    sidecar = service.connect.sidecar
    if sidecar is not None:
        _validate_service_checks(sidecar.checks, "Invalid check in sidecar_service")


def validate_sidecar(service: ServiceDefinition) -> None:
    """Raises InvalidDefinition when the sidecar that the service asks for cannot be made of it."""
    sidecar = service.connect.sidecar
    if sidecar is not None and sidecar.meta and (fault := meta_fault(sidecar.meta)):
        raise InvalidDefinition(f"Invalid SidecarService: {fault}")


def _validate_service_checks(checks: Iterable[CheckDefinition], prefix: str) -> None:
    for check in checks:
        if fault := check_fault(check):
            raise InvalidDefinition(f"{prefix}: {fault}")
    for check in checks:
        if check.status and check.status not in STATUSES:
            raise InvalidDefinition("Status for checks must 'passing', 'warning', 'critical'")


def require_scripts_allowed(check: CheckDefinition, from_file: bool, local_scripts: bool, remote_scripts: bool) -> None:
    """Raises LocalStateError when the check runs a command that this agent does not allow."""
    if not check.is_script:
        return
    if from_file and not local_scripts:
        raise LocalStateError(
            "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or "
            "'enable_local_script_checks' to true"
        )
    if not from_file and not remote_scripts:
        raise LocalStateError(
            "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true"
        )


def service_faults(service: ServiceDefinition) -> list[str]:
    """What contradicts the kind of service, in the order Consul lists it."""
    connect = service.connect
    faults = proxy_faults(service.kind, service.port, connect.native, connect.sidecar is not None, service.proxy or {})
    sidecar = connect.sidecar
    if sidecar is not None:
        if sidecar.service_id:
            faults.append("A SidecarService cannot specify an ID as this is managed by the agent")
        if sidecar.connect.sidecar is not None:
            faults.append("A SidecarService cannot have a nested SidecarService")
    return faults


def is_unspecified(address: str) -> bool:
    """Whether an address is 0.0.0.0 or ::, at which nobody can be reached."""
    try:
        return ipaddress.ip_address(address.strip("[]")).is_unspecified
    except ValueError:
        return False


def discoverability_warnings(service: ServiceDefinition) -> list[str]:
    """Names that DNS cannot serve; only worth a warning."""
    warnings = []
    kinds = [("Service name", service.name), *(("Service tag", tag) for tag in service.tags)]
    for what, name in kinds:
        if _NOT_DNS.search(name):
            reason = "due to invalid characters. Valid characters include all alpha-numerics and dashes."
        elif len(name) > MAX_DNS_LABEL_LENGTH:
            reason = "due to it being too long. Valid lengths are between 1 and 63 bytes."
        else:
            continue
        subject = "service" if what == "Service name" else "tag"
        warnings.append(f"{what} will not be discoverable via DNS {reason}: {subject}={name}")
    return warnings
