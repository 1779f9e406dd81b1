"""What is registered at start and on reload: definitions from files, and documents that the API left behind.

A definition from a file wins over a persisted one of the same ID, whose document is then removed (Consul 1.7). One
damaged or no longer acceptable document costs only itself.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import msgspec

from checkd.core.definitions import (
    SERVICE_CHECK_SHAPE,
    CheckDefinition,
    ServiceDefinition,
    check_definition,
    service_definition,
)
from checkd.core.duration import format_duration
from checkd.core.effects import CHECK_STATES, CHECKS, SERVICES
from checkd.core.errors import LocalStateError
from checkd.core.go_json import decode
from checkd.core.node import Node
from checkd.core.records import Check, Moment
from checkd.core.sidecar import sidecar_id
from checkd.core.status import STATUSES
from checkd.storage import DocumentStore, document_name
from lictor.config.runtime import RuntimeConfig

SECOND_NS = 1_000_000_000
CHECK_FAULT, SIDECAR_CHECK_FAULT = "Invalid check: ", "Invalid check in sidecar_service: "

log = logging.getLogger("agent")


class FileDefinitionError(Exception):
    """A definition of a configuration file cannot be registered; the text names it."""


def file_definitions(config: RuntimeConfig) -> tuple[list[ServiceDefinition], list[CheckDefinition]]:
    """The definitions of the configuration files; raises FileDefinitionError."""
    try:
        services = [service_definition(raw) for raw in config.services]
        checks = [check_definition(raw) for raw in config.checks]
    except LocalStateError as error:
        raise FileDefinitionError(str(error)) from None
    return services, checks


def apply_files(node: Node, services: list[ServiceDefinition], checks: list[CheckDefinition], now: Moment) -> list[str]:
    """Register what is new or different, remove what is gone, leave the rest alone; what could not be registered."""
    failures = []
    wanted_services = {definition.service_id or definition.name: definition for definition in services}
    wanted_checks = {definition.check_id or definition.name: definition for definition in checks}
    sidecars = {sidecar_id(key) for key, each in wanted_services.items() if each.connect.sidecar is not None}
    for service_id, definition in wanted_services.items():
        entry = node.state.service(service_id)
        known = entry is not None and entry.from_file
        if entry is not None and known and entry.definition == definition:
            continue
        try:
            node.register_service(definition, now, from_file=True, replace_checks=known)
        except LocalStateError as error:
            failures.append(_service_failure(definition, str(error)))
    for entry in list(node.state.live_services()):
        service_id = entry.service.service_id
        if entry.from_file and not entry.deleted and service_id not in wanted_services and service_id not in sidecars:
            node.deregister_service(service_id, now)
    for check_id, check in wanted_checks.items():
        found = node.state.check(check_id)
        if found is not None and found.from_file and found.definition == check:
            continue
        try:
            node.register_check(check, now, from_file=True)
        except LocalStateError as error:
            failures.append(_check_failure(check, str(error), node.settings.output_limit_bytes))
    for found in list(node.state.live_checks()):
        check_id = found.check.check_id
        if found.from_file and found.standalone and not found.deleted and check_id not in wanted_checks:
            node.deregister_check(check_id, now)
    return failures


def _service_failure(definition: ServiceDefinition, text: str) -> str:
    """Consul's words for a definition in a file: it looks at the checks before anything else."""
    if text.startswith(CHECK_FAULT):
        return f'Failed to validate checks for service "{definition.name}": {text.removeprefix(CHECK_FAULT)}'
    if text.startswith(SIDECAR_CHECK_FAULT):
        fault = text.removeprefix(SIDECAR_CHECK_FAULT)
        return (
            f'Failed to validate sidecar for service "{definition.name}": Invalid checks for sidecar service: {fault}'
        )
    text = {"Missing service name": "Service name missing"}.get(text, text)
    return f'Failed to register service "{definition.name}": {text}'


def _check_failure(check: CheckDefinition, text: str, output_limit_bytes: int) -> str:
    """The same for a check of its own, with all of it as Go shows a structure."""
    if text.startswith(CHECK_FAULT):
        text = f"Check is not valid: {text.removeprefix(CHECK_FAULT)}"
    limit = check.output_max_size or output_limit_bytes
    headers = " ".join(f"{name}:[{' '.join(values)}]" for name, values in sorted(check.header.items()))
    fields = (
        *(check.check_id, check.name, check.notes, check.service_id, check.token, check.status),
        f"[{' '.join(check.script_args)}]",
        *(check.http, f"map[{headers}]", check.method, check.body, check.tcp, format_duration(check.interval_ns)),
        *(check.docker_container_id, check.shell, check.grpc, str(check.grpc_use_tls).lower()),
        *(str(check.tls_skip_verify).lower(), check.alias_node, check.alias_service),
        *(format_duration(check.timeout_ns), format_duration(check.ttl_ns), str(check.success_before_passing)),
        *(str(check.failures_before_critical), format_duration(check.deregister_after_ns), str(limit), "{}"),
    )
    return f"Failed to register check '{check.name}': {text} &{{{' '.join(fields)}}}"


def restore(node: Node, store: DocumentStore, now: Moment) -> None:
    """Put back what the API registered before this process started."""
    node.set_saved_states(_saved_states(store, now))
    for name, document in store.read_all(SERVICES):
        _restore_service(node, store, name, document, now)
    for name, document in store.read_all(CHECKS):
        _restore_check(node, store, name, document, now)
    node.forget_saved_states()
    node.finish_restore(now)


def _saved_states(store: DocumentStore, now: Moment) -> list[dict[str, Any]]:
    states = []
    for name, state in store.read_all(CHECK_STATES):
        try:
            fresh = int(state["Expires"]) > now.unix_ns // SECOND_NS and state["Status"] in STATUSES
            usable = document_name(state["CheckID"]) == name and isinstance(state["Output"], str)
        except (KeyError, TypeError, ValueError):
            fresh = usable = False
        if fresh and usable:
            states.append(state)
        else:
            log.debug("check state expired, not restoring: file=%s", name)
            store.drop_file(CHECK_STATES, name)
    return states


_SERVICE_KEYS = (
    "Kind",
    "ID",
    "Tags",
    "Meta",
    "Port",
    "Address",
    "TaggedAddresses",
    "Weights",
    "EnableTagOverride",
    "Proxy",
)


def _restore_service(node: Node, store: DocumentStore, name: str, document: dict[str, Any], now: Moment) -> None:
    try:
        kept = document["Service"]
        raw = {key: kept[key] for key in _SERVICE_KEYS if kept.get(key) is not None}
        connect = {"Native": bool((kept.get("Connect") or {}).get("Native"))}
        definition = service_definition({**raw, "Name": kept["Service"], "Connect": connect})
        service_id, token = definition.service_id or definition.name, str(document.get("Token") or "")
    except (KeyError, TypeError, AttributeError, LocalStateError) as error:
        log.error("Failed decoding service file: file=%s error=%s", name, json.dumps(str(error)))
        return
    if node.state.service(service_id) is not None:
        log.debug("service exists, not restoring from file: service=%s file=%s", service_id, name)
        store.drop_file(SERVICES, name)
        return
    node.restore_service(definition, now, token, bool(kept.get("LocallyRegisteredAsSidecar")))
    log.debug("restored service definition from file: service=%s file=%s", service_id, name)


def _restore_check(node: Node, store: DocumentStore, name: str, document: dict[str, Any], now: Moment) -> None:
    try:
        kept, kind = document["Check"], document.get("ChkType")
        check = Check(
            check_id=kept["CheckID"],
            name=kept.get("Name") or "",
            notes=kept.get("Notes") or "",
            service_id=kept.get("ServiceID") or "",
            service_name=kept.get("ServiceName") or "",
            service_tags=tuple(kept.get("ServiceTags") or ()),
            kind=kept.get("Type") or "",
        )
        definition = None
        if kind is not None:
            fields = decode(kind, SERVICE_CHECK_SHAPE)
            fields["script_args"] = tuple(fields.get("script_args", ()))
            definition = msgspec.structs.replace(CheckDefinition(**fields), service_id=check.service_id)
        token = str(document.get("Token") or "")
    except (KeyError, TypeError, AttributeError, LocalStateError) as error:
        log.error("Failed decoding check file: file=%s error=%s", name, json.dumps(str(error)))
        return
    if node.state.check(check.check_id) is not None:
        log.debug("check exists, not restoring from file: check=%s file=%s", check.check_id, name)
        store.drop_file(CHECKS, name)
        return
    try:
        node.restore_check(check, definition, now, token)
    except LocalStateError as error:
        log.warning("Failed to restore check: check=%s error=%s", check.check_id, json.dumps(str(error)))
        store.drop_file(CHECKS, name)
        return
    log.debug("restored health check from file: check=%s file=%s", check.check_id, name)
