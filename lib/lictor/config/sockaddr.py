"""The templates in address settings: `{{ GetPrivateIP }}`, `{{ GetInterfaceIP "eth0" }}`, and pipelines of filters.

The part of go-sockaddr's language that configurations use. A pipeline starts at a source of addresses
(`GetAllInterfaces`, `GetPrivateInterfaces`, `GetPublicInterfaces`, `GetDefaultInterfaces`), may filter and sort
(`include`, `exclude`, `sort`, `limit`, `offset`), and ends in text (`attr "address"`, `join "address" " "`). The
shorthands `GetPrivateIP`, `GetPrivateIPs`, `GetPublicIP`, `GetPublicIPs`, `GetInterfaceIP` and `GetInterfaceIPs` are
whole pipelines.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from lictor.config import interfaces
from lictor.config.errors import ConfigError
from lictor.config.interfaces import InterfaceAddress

_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`|([^\s"`|]+)')
_PRIVATE_NETWORKS = [
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
]
_UNROUTED_NETWORKS = _PRIVATE_NETWORKS + [
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "::1/128",
        "fe80::/10",
        "fec0::/10",
        "2001:db8::/32",
    )
]
"""What an agent that is bound to all addresses advertises must be of these (IPv4) or of none of these (IPv6)."""

Addresses = list[InterfaceAddress]
Source = Callable[[], Addresses]


def expand(text: str, source: Source = interfaces.addresses) -> str:
    """The text with every template replaced.

    Raises ConfigError for a template that is not understood.
    """
    if "{{" not in text:
        return text
    return _TEMPLATE.sub(lambda match: _evaluate(match[1], source), text).strip()


def is_private(address: interfaces.IPAddress) -> bool:
    """Whether the address is of a private network (RFC 1918, 6598, 4193)."""
    return any(address.version == network.version and address in network for network in _PRIVATE_NETWORKS)


def is_forwardable(address: interfaces.IPAddress) -> bool:
    """Whether routers forward packets to this address: no loopback, link-local, multicast or unspecified one."""
    return not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)


def private_ipv4(found: Addresses) -> list[str]:
    """Every IPv4 address of a network that is not routed in the Internet; loopback only where there is nothing else."""
    outside = [item for item in found if not item.address.is_loopback]
    return [str(item.address) for item in outside or found if item.address.version == 4 and _is_unrouted(item.address)]


def public_ipv6(found: Addresses) -> list[str]:
    """Every IPv6 address of a network that is routed in the Internet."""
    return [str(item.address) for item in found if item.address.version == 6 and not _is_unrouted(item.address)]


def _is_unrouted(address: interfaces.IPAddress) -> bool:
    return any(address.version == network.version and address in network for network in _UNROUTED_NETWORKS)


def _evaluate(pipeline: str, source: Source) -> str:
    value: Addresses | str | None = None
    stages = _stages(pipeline)
    for words in stages:
        value = _call(words, value, source, pipeline)
    if isinstance(value, str):
        return value
    if value is None:
        raise ConfigError(f"unable to parse address template {pipeline.strip()!r}")
    return " ".join(str(item.address) for item in value)


def _stages(pipeline: str) -> list[list[str]]:
    stages: list[list[str]] = [[]]
    at = 0
    while at < len(pipeline):
        if pipeline[at] == "|":
            stages.append([])
            at += 1
        elif match := _WORD.match(pipeline, at):
            stages[-1].append(next(group for group in match.groups() if group is not None))
            at = match.end()
        else:
            at += 1
    return stages


def _call(words: list[str], value: Addresses | str | None, source: Source, pipeline: str) -> Addresses | str:
    if not words:
        raise ConfigError(f"unable to parse address template {pipeline.strip()!r}: empty pipeline stage")
    name, arguments = words[0], words[1:]
    try:
        if value is None:
            return _first(name, arguments, source)
        if isinstance(value, list):
            return _FILTERS[name](value, *arguments)
    except (KeyError, TypeError, ValueError, IndexError):
        pass
    raise ConfigError(f"unable to parse address template {pipeline.strip()!r}: cannot apply {' '.join(words)!r}")


def _first(name: str, arguments: list[str], source: Source) -> Addresses | str:
    found = source()
    usable = [item for item in found if is_forwardable(item.address)]
    if name in ("GetInterfaceIP", "GetInterfaceIPs"):
        (interface,) = arguments
        texts = [str(item.address) for item in _by_family(found) if item.interface == interface]
        return " ".join(texts if name.endswith("s") else texts[:1])
    if arguments:
        raise TypeError(name)
    if name in ("GetPrivateIP", "GetPrivateIPs"):
        texts = [str(item.address) for item in _by_family(usable) if is_private(item.address)]
        return " ".join(texts if name.endswith("s") else texts[:1])
    if name in ("GetPublicIP", "GetPublicIPs"):
        texts = [str(item.address) for item in _by_family(usable) if not is_private(item.address)]
        return " ".join(texts if name.endswith("s") else texts[:1])
    if name == "GetAllInterfaces":
        return found
    if name == "GetPrivateInterfaces":
        return [item for item in usable if is_private(item.address)]
    if name == "GetPublicInterfaces":
        return [item for item in usable if not is_private(item.address)]
    if name == "GetDefaultInterfaces":
        default = default_interface()
        return [item for item in found if item.interface == default]
    raise KeyError(name)


def _by_family(found: Addresses) -> Addresses:
    return sorted(found, key=lambda item: item.address.version)


def default_interface() -> str:
    """The interface of the IPv4 default route, or nothing."""
    with open("/proc/net/route", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            columns = line.split()
            if columns[1] == "00000000" and columns[7] == "00000000":
                return columns[0]
    return ""


def _matches(item: InterfaceAddress, attribute: str, pattern: str) -> bool:
    if attribute in ("name", "address"):
        text = item.interface if attribute == "name" else str(item.address)
        return re.search(pattern, text) is not None
    if attribute == "type":
        return pattern.lower() in ("ip", f"ipv{item.address.version}")
    if attribute == "network":
        network = ipaddress.ip_network(pattern, strict=False)
        return network.version == item.address.version and item.address in network
    if attribute == "rfc":
        if pattern in ("1918", "6598", "4193"):
            return is_private(item.address)
        raise ValueError(pattern)
    if attribute == "flags":
        tests = {
            "forwardable": is_forwardable(item.address),
            "loopback": item.address.is_loopback,
            "up": True,
            "global unicast": is_forwardable(item.address),
        }
        return all(tests[flag] for flag in re.split(r"\s*\|\s*", pattern.lower()))
    if attribute == "size":
        return str(2 ** (item.address.max_prefixlen - item.prefix_length)) == pattern
    raise KeyError(attribute)


def _include(found: Addresses, attribute: str, pattern: str) -> Addresses:
    return [item for item in found if _matches(item, attribute, pattern)]


def _exclude(found: Addresses, attribute: str, pattern: str) -> Addresses:
    return [item for item in found if not _matches(item, attribute, pattern)]


def _attribute(item: InterfaceAddress, attribute: str) -> str:
    return {
        "address": str(item.address),
        "host": str(item.address),
        "name": item.interface,
        "type": f"IPv{item.address.version}",
        "network": str(ipaddress.ip_network(f"{item.address}/{item.prefix_length}", strict=False)),
    }[attribute]


def _attr(found: Addresses, attribute: str) -> str:
    return _attribute(found[0], attribute) if found else ""


def _join(found: Addresses, attribute: str, separator: str) -> str:
    return separator.join(_attribute(item, attribute) for item in found)


def _sort(found: Addresses, order: str) -> Addresses:
    keys: dict[str, Callable[[InterfaceAddress], tuple[int, int] | str | int]] = {
        "address": lambda item: (item.address.version, int(item.address)),
        "name": lambda item: item.interface,
        "type": lambda item: item.address.version,
        "size": lambda item: item.address.max_prefixlen - item.prefix_length,
        "private": lambda item: 0 if is_private(item.address) else 1,
        "default": lambda item: 0 if item.interface == default_interface() else 1,
    }
    ordered = list(found)
    for part in reversed(order.split(",")):
        name = part.strip().lstrip("+-")
        ordered.sort(key=keys[name], reverse=part.strip().startswith("-"))
    return ordered


def _limit(found: Addresses, count: str) -> Addresses:
    return found[: int(count)]


def _offset(found: Addresses, count: str) -> Addresses:
    return found[int(count) :]


_FILTERS: dict[str, Callable[..., Addresses | str]] = {
    "include": _include,
    "exclude": _exclude,
    "attr": _attr,
    "join": _join,
    "sort": _sort,
    "limit": _limit,
    "offset": _offset,
}
