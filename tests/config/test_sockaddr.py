"""Address templates."""

import ipaddress

import pytest

from lictor.config import interfaces, sockaddr
from lictor.config.errors import ConfigError
from lictor.config.interfaces import InterfaceAddress

FOUND = [
    InterfaceAddress(name, ipaddress.ip_address(address), length)
    for name, address, length in (
        ("lo", "127.0.0.1", 8),
        ("eth0", "10.1.2.3", 24),
        ("eth1", "203.0.113.5", 24),
        ("eth1", "192.168.7.7", 16),
        ("eth0", "fd00::2", 64),
        ("eth0", "fe80::1", 64),
    )
]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("{{ GetPrivateIP }}", "10.1.2.3"),
        ("{{GetPrivateIPs}}", "10.1.2.3 192.168.7.7 fd00::2"),
        ("{{ GetPublicIP }}", "203.0.113.5"),
        ('{{ GetInterfaceIP "eth1" }}', "203.0.113.5"),
        ('{{ GetInterfaceIP "none" }}', ""),
        ('{{ GetAllInterfaces | include "name" "^eth" | include "type" "IPv6" | attr "address" }}', "fd00::2"),
        ('{{ GetAllInterfaces | include "network" "192.168.0.0/16" | attr "address" }}', "192.168.7.7"),
        ('{{ GetPrivateInterfaces | exclude "type" "ipv6" | join "address" " " }}', "10.1.2.3 192.168.7.7"),
        ('{{ GetAllInterfaces | exclude "flags" "loopback" | sort "-address" | limit 1 | attr "name" }}', "eth0"),
        ('{{ GetPrivateInterfaces | include "rfc" "1918" | offset 1 | attr "address" }}', "192.168.7.7"),
    ],
)
def test_a_template_means(template: str, text: str) -> None:
    assert sockaddr.expand(template, lambda: FOUND) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{ }}",
        "{{ GetNothing }}",
        '{{ GetPrivateIP "x" }}',
        "{{ GetInterfaceIP }}",
        '{{ GetAllInterfaces | include "name" }}',
        '{{ GetAllInterfaces | include "size" }}',
        '{{ GetAllInterfaces | frobnicate "x" }}',
        '{{ GetPrivateIP | attr "address" }}',
    ],
)
def test_other_templates_are_refused(template: str) -> None:
    with pytest.raises(ConfigError, match="unable to parse address template"):
        sockaddr.expand(template, lambda: FOUND)


def test_the_kernel_tells_the_loopback_address() -> None:
    assert any(str(found.address) == "127.0.0.1" for found in interfaces.addresses())
