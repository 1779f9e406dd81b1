"""Where each kind of record lies in the ordered keyspace.

One letter names the table; names are folded to lower case (lookups by name are case-insensitive), KV keys are exact.
Parts are parted by a zero byte; a zero byte inside a name is escaped, so that no name can reach into another's range.

    I<index name>                    8 bytes, big endian: the table and service indexes
    N<node>  n<node id>              nodes; node ID → folded name
    S<node>0<service id>             service instances
    s<service>0<node>0<id>           instances by service name        t<destination>0<node>0<id>  connect-capable ones
    C<node>0<check id>               checks                           c<status>0<node>0<id>       checks by status
    e<node>0<service id>0<check id>  checks by what they belong to    d<service>0<node>0<id>      checks by service name
    K<key>  k<session>0<key>         KV; keys held by a session       T<key>  8 bytes: tombstones
    X<id>  x<node>0<id>  y<node>0<check>0<id>                         sessions; by node; by check
    O<node>0<segment>                coordinates
    Q<id>  q<name>  p<prefix>  r<session>0<id>                        prepared queries; names; templates; by session
    E<kind>0<name>                   configuration entries
    J<id>  j<destination>0<source>   intentions; by their pair of names
    A…                               certificate authority            P   autopilot configuration
    a…                               access control                   M<name>  facts about the store itself
"""

from __future__ import annotations

SEPARATOR = b"\0"

APPLIED = b"Mapplied"
"""16 bytes, big endian: index and term of the last applied log entry."""
AUTOPILOT = b"P"
CA_ROOTS = b"Aroots"
CA_CONFIG = b"Aconfig"


def fold(name: str) -> bytes:
    """A name as its lookups know it, without zero bytes."""
    folded = name.lower().encode("utf-8", "surrogatepass")
    if b"\0" in folded or b"\1" in folded:
        return folded.replace(b"\1", b"\1\2").replace(b"\0", b"\1\1")
    return folded


def index(name: str) -> bytes:
    return b"I" + name.encode("utf-8", "surrogatepass")


def node(name: str) -> bytes:
    return b"N" + fold(name)


def node_by_id(node_id: str) -> bytes:
    return b"n" + fold(node_id)


def service(node_name: str, service_id: str) -> bytes:
    return b"S" + fold(node_name) + SEPARATOR + fold(service_id)


def services_of_node(node_name: str) -> bytes:
    return b"S" + fold(node_name) + SEPARATOR


def instances(service_name: str) -> bytes:
    return b"s" + fold(service_name) + SEPARATOR


def instance(service_name: str, node_name: str, service_id: str) -> bytes:
    return b"s" + fold(service_name) + SEPARATOR + fold(node_name) + SEPARATOR + fold(service_id)


def connect_instances(service_name: str) -> bytes:
    return b"t" + fold(service_name) + SEPARATOR


def connect_instance(service_name: str, node_name: str, service_id: str) -> bytes:
    return b"t" + fold(service_name) + SEPARATOR + fold(node_name) + SEPARATOR + fold(service_id)


def check(node_name: str, check_id: str) -> bytes:
    return b"C" + fold(node_name) + SEPARATOR + fold(check_id)


def checks_of_node(node_name: str) -> bytes:
    return b"C" + fold(node_name) + SEPARATOR


def checks_in_state(status: str) -> bytes:
    return b"c" + fold(status) + SEPARATOR


def check_in_state(status: str, node_name: str, check_id: str) -> bytes:
    return checks_in_state(status) + fold(node_name) + SEPARATOR + fold(check_id)


def checks_of_instance(node_name: str, service_id: str) -> bytes:
    """The checks of one instance; with an empty ID those of the node itself."""
    return b"e" + fold(node_name) + SEPARATOR + fold(service_id) + SEPARATOR


def checks_of_service(service_name: str) -> bytes:
    return b"d" + fold(service_name) + SEPARATOR


def check_of_service(service_name: str, node_name: str, check_id: str) -> bytes:
    return checks_of_service(service_name) + fold(node_name) + SEPARATOR + fold(check_id)


def kv(key: bytes) -> bytes:
    return b"K" + key


def kv_of_session(session_id: str) -> bytes:
    return b"k" + fold(session_id) + SEPARATOR


def tombstone(key: bytes) -> bytes:
    return b"T" + key


def session(session_id: str) -> bytes:
    return b"X" + fold(session_id)


def sessions_of_node(node_name: str) -> bytes:
    return b"x" + fold(node_name) + SEPARATOR


def sessions_of_check(node_name: str, check_id: str) -> bytes:
    return b"y" + fold(node_name) + SEPARATOR + fold(check_id) + SEPARATOR


def coordinate(node_name: str, segment: str) -> bytes:
    return b"O" + fold(node_name) + SEPARATOR + segment.encode()


def coordinates_of_node(node_name: str) -> bytes:
    return b"O" + fold(node_name) + SEPARATOR


def query(query_id: str) -> bytes:
    return b"Q" + fold(query_id)


def query_by_name(name: str) -> bytes:
    return b"q" + fold(name)


def query_template(prefix: str) -> bytes:
    return b"p" + fold(prefix)


def queries_of_session(session_id: str) -> bytes:
    return b"r" + fold(session_id) + SEPARATOR


def config_entry(kind: str, name: str) -> bytes:
    return b"E" + kind.encode() + SEPARATOR + fold(name)


def config_entries(kind: str) -> bytes:
    return b"E" + kind.encode() + SEPARATOR


def intention(intention_id: str) -> bytes:
    return b"J" + fold(intention_id)


def intention_by_names(source_ns: str, source: str, destination_ns: str, destination: str) -> bytes:
    return b"j" + SEPARATOR.join((fold(destination_ns), fold(destination), fold(source_ns), fold(source)))


def ca_provider_state(state_id: str) -> bytes:
    return b"Astate" + SEPARATOR + fold(state_id)


def token(accessor_id: str) -> bytes:
    return b"at" + fold(accessor_id)


def token_without_accessor(secret_id: str) -> bytes:
    """Where a token of before Consul 1.4 lies until it gets an accessor ID; "" for the range of them all."""
    return b"at" + SEPARATOR + secret_id.encode("utf-8", "surrogatepass")


def token_by_secret(secret_id: str) -> bytes:
    """To the token's key without its first two bytes. Secrets are told apart by case too."""
    return b"au" + secret_id.encode("utf-8", "surrogatepass")


def policy(policy_id: str) -> bytes:
    return b"ap" + fold(policy_id)


def policy_by_name(name: str) -> bytes:
    return b"an" + fold(name)


def role(role_id: str) -> bytes:
    return b"ar" + fold(role_id)


def role_by_name(name: str) -> bytes:
    return b"as" + fold(name)


def binding_rule(rule_id: str) -> bytes:
    return b"ab" + fold(rule_id)


def auth_method(name: str) -> bytes:
    return b"am" + fold(name)
