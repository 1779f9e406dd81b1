"""What the configuration says about answering, in the units of DNS."""

from __future__ import annotations

import msgspec

from dnsd.core import names, records
from dnsd.core.names import InvalidName, Name
from dnsd.core.records import Record

MAX_UDP_ANSWERS = 8
"""The most that `udp_answer_limit` can allow."""


class Settings(msgspec.Struct, frozen=True):
    """`dns_config` and what else answers depend on; names are folded, times whole seconds."""

    domain: Name = (b"consul",)
    alt_domain: Name | None = None
    datacenter: str = "dc1"
    node_name: str = "localhost"
    node_ttl_s: int = 0
    service_ttls_s: dict[str, int] = {}
    """Folded service name, `prefix*` or `*` to TTL."""
    only_passing: bool = False
    enable_truncate: bool = False
    udp_answer_limit: int = 3
    a_record_limit: int = 0
    compress: bool = True
    node_meta_txt: bool = True
    soa_numbers: tuple[int, int, int, int] = (3600, 600, 86400, 0)
    """Refresh, retry, expire, minimum."""
    has_recursors: bool = False
    translate_wan: bool = False

    @property
    def domain_text(self) -> str:
        """The primary domain with its final dot; empty for the root."""
        return names.to_text(self.domain) if self.domain else ""

    @property
    def plain_answer_limit(self) -> int:
        """How many answers a question over UDP without EDNS gets."""
        return min(MAX_UDP_ANSWERS, max(self.udp_answer_limit, 1))

    def service_ttl_s(self, service: str) -> int:
        """The exact name's TTL, else that of the longest matching `prefix*`, else 0."""
        folded = service.lower()
        exact = self.service_ttls_s.get(folded)
        if exact is not None:
            return exact
        matching = [
            pattern for pattern in self.service_ttls_s if pattern.endswith("*") and folded.startswith(pattern[:-1])
        ]
        return self.service_ttls_s[max(matching, key=len)] if matching else 0

    def zone_of(self, folded: Name) -> Name | None:
        """Which of the domains the folded name is in, None for neither; the longer one first."""
        zones = [self.domain] if self.alt_domain is None else [self.domain, self.alt_domain]
        for zone in sorted(zones, key=names.wire_bytes, reverse=True):
            if names.is_under(folded, zone):
                return zone
        return None

    def node_name_in(self, node: str, datacenter: str) -> Name | None:
        """`<node>.node.<datacenter>.<domain>`, None when that is no possible name."""
        return self.canonical(f"{node}.node.{datacenter}")

    def canonical(self, prefix: str) -> Name | None:
        """The name under the primary domain, None when it is too long or has an empty label."""
        try:
            return names.from_text(f"{prefix}.{self.domain_text}")
        except InvalidName:
            return None

    def soa(self, serial: int) -> Record:
        """The SOA record; the serial is the time in Unix seconds."""
        return records.soa(
            self.domain,
            (b"ns", *self.domain),
            (b"hostmaster", *self.domain),
            (serial & 0xFFFFFFFF, *self.soa_numbers),
            self.soa_numbers[3],
        )
