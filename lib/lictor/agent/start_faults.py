"""What of a valid configuration keeps an agent from starting all the same, worded as Consul words it."""

from __future__ import annotations

import json
from typing import Any

from lictor.config.runtime import RuntimeConfig
from lictor.config.settings import UNIX_PREFIX

PROTOCOL_MIN, PROTOCOL_MAX = 2, 3
DEFAULT_POLICIES = ("allow", "deny")
DOWN_POLICIES = ("allow", "deny", "async-cache", "extend-cache")
# What every watch may have; a text about a watch shows what else was given.
_COMMON = ("type", "handler_type", "datacenter", "token")


def start_fault(config: RuntimeConfig) -> str:
    """The first fault, or nothing."""
    if fault := _membership_fault(config):
        return f"Failed to start Consul {'server' if config.server_mode else 'client'}: {fault}"
    return watches_fault(config) if config.watches else ""


def _membership_fault(config: RuntimeConfig) -> str:
    protocol_range = f"Must be in range: [{PROTOCOL_MIN}, {PROTOCOL_MAX}]"
    if config.protocol < PROTOCOL_MIN:
        return f"Protocol version '{config.protocol}' too low. {protocol_range}"
    if config.protocol > PROTOCOL_MAX:
        return f"Protocol version '{config.protocol}' too high. {protocol_range}"
    if config.acl.default_policy not in DEFAULT_POLICIES:
        return f"Unsupported default ACL policy: {config.acl.default_policy}"
    if config.acl.down_policy not in DOWN_POLICIES:
        return f"Unsupported down ACL policy: {config.acl.down_policy}"
    return ""


def watches_fault(config: RuntimeConfig) -> str:
    """The first fault of a watch; also what a reload refuses."""
    if config.ports.http <= 0 and config.ports.https <= 0 and not any(map(_is_unix, config.addresses.http)):
        return "watch plans require an HTTP or HTTPS endpoint"
    return next((fault for fault in map(watch_fault, config.watches) if fault), "")


def watch_fault(watch: dict[str, Any]) -> str:
    """What is wrong with one watch of the configuration, or nothing."""
    from lictor.cli.watching import WatchError, query_for

    handler_type = watch.get("handler_type", "script")
    if handler_type not in ("http", "script"):
        return f"Handler type '{handler_type}' not recognized"
    kind = str(watch.get("type", ""))
    if kind.startswith("connect_"):
        return f"Watch type {kind} is not allowed in agent config"
    try:
        query_for(kind, watch)
    except WatchError as error:
        return f"Failed to parse watch ({_shown(watch)}): {error}"
    if "handler" in watch and not isinstance(watch["handler"], str):
        return "Watch handler must be a string"
    arguments = watch.get("args", [])
    if not isinstance(arguments, list) or not all(isinstance(word, str) for word in arguments):
        return "Watch args must be a list of strings"
    given = [name for name in ("handler", "args") if name in watch]
    if len(given) + (handler_type == "http") > 1:
        return "Only one watch handler allowed"
    return "" if given or handler_type == "http" else "Must define a watch handler"


def _is_unix(address: str) -> bool:
    return address.startswith(UNIX_PREFIX)


def _shown(watch: dict[str, Any]) -> str:
    """What the texts about a watch show of it, as Go writes a map."""
    rest = ", ".join(f"{json.dumps(key)}:{_go(value)}" for key, value in sorted(watch.items()) if key not in _COMMON)
    return f"map[string]interface {{}}{{{rest}}}"


def _go(value: Any) -> str:
    if isinstance(value, dict):
        return _shown(value)
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(_go(item) for item in value)}}}"
    return json.dumps(value)
