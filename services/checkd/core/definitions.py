"""Service and check definitions: their fields, and how JSON objects of the API and of files become them.

Field names and aliases are those of Consul 1.7's `PUT /v1/agent/service/register` and `…/check/register`, plus the
check kinds of later versions (UDP, H2PING, OSService, FailuresBeforeWarning).
"""

from __future__ import annotations

from typing import Any

import msgspec

from checkd.core.go_json import FieldKind, Kind, ListOf, MapOf, Shape, decode


class Weights(msgspec.Struct, frozen=True):
    """SRV weights of an instance while it is passing and while it is warning."""

    passing: int = 1
    warning: int = 1


class ServiceAddress(msgspec.Struct, frozen=True):
    """One tagged address of a service."""

    address: str = ""
    port: int = 0


class CheckDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to check, how often, and how results count; durations in nanoseconds."""

    check_id: str = ""
    name: str = ""
    status: str = ""
    notes: str = ""
    service_id: str = ""
    token: str = ""
    script_args: tuple[str, ...] = ()
    http: str = ""
    header: dict[str, list[str]] = {}
    method: str = ""
    body: str = ""
    disable_redirects: bool = False
    tcp: str = ""
    udp: str = ""
    grpc: str = ""
    grpc_use_tls: bool = False
    h2ping: str = ""
    h2ping_use_tls: bool = True
    os_service: str = ""
    tls_server_name: str = ""
    tls_skip_verify: bool = False
    alias_node: str = ""
    alias_service: str = ""
    docker_container_id: str = ""
    shell: str = ""
    interval_ns: int = 0
    timeout_ns: int = 0
    ttl_ns: int = 0
    success_before_passing: int = 0
    failures_before_warning: int = 0
    failures_before_critical: int = 0
    deregister_after_ns: int = 0
    output_max_size: int = 0
    proxy_http: str = ""
    proxy_grpc: str = ""

    @property
    def is_alias(self) -> bool:
        """Whether it mirrors another service or node."""
        return bool(self.alias_node or self.alias_service)

    @property
    def is_script(self) -> bool:
        """Whether it runs a command, on the host or in a container."""
        return bool(self.script_args)

    @property
    def is_interval(self) -> bool:
        """Whether the agent runs it again and again."""
        return self.is_script or any((self.http, self.tcp, self.udp, self.grpc, self.h2ping, self.os_service))

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was given."""
        return self == EMPTY_CHECK

    @property
    def kind(self) -> str:
        """The `Type` that the API shows, empty when it is none."""
        for name, given in (
            ("grpc", self.grpc),
            ("http", self.http),
            ("ttl", self.ttl_ns > 0),
            ("tcp", self.tcp),
            ("udp", self.udp),
            ("alias", self.is_alias),
            ("docker", self.is_script and self.docker_container_id),
            ("script", self.is_script),
            ("h2ping", self.h2ping),
            ("os_service", self.os_service),
        ):
            if given:
                return name
        return ""


EMPTY_CHECK = CheckDefinition()


class SidecarDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """`Connect`: native integration, and the nested service that shall be registered beside this one."""

    native: bool = False
    sidecar: ServiceDefinition | None = None


class ServiceDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A service with its checks as somebody asked for it."""

    kind: str = ""
    service_id: str = ""
    name: str = ""
    tags: tuple[str, ...] = ()
    address: str = ""
    tagged_addresses: dict[str, ServiceAddress] = {}
    meta: dict[str, str] | None = None
    port: int = 0
    checks: tuple[CheckDefinition, ...] = ()
    weights: Weights | None = None
    token: str = ""
    enable_tag_override: bool = False
    proxy: dict[str, Any] | None = None
    connect: SidecarDefinition = SidecarDefinition()


_CHECK_FIELDS: dict[str, tuple[str, FieldKind]] = {
    "name": ("name", Kind.STRING),
    "status": ("status", Kind.STRING),
    "notes": ("notes", Kind.STRING),
    "scriptargs": ("script_args", Kind.STRINGS),
    "args": ("script_args", Kind.STRINGS),
    "script_args": ("script_args", Kind.STRINGS),
    "http": ("http", Kind.STRING),
    "header": ("header", Kind.HEADERS),
    "method": ("method", Kind.STRING),
    "body": ("body", Kind.STRING),
    "disableredirects": ("disable_redirects", Kind.BOOLEAN),
    "tcp": ("tcp", Kind.STRING),
    "udp": ("udp", Kind.STRING),
    "grpc": ("grpc", Kind.STRING),
    "grpcusetls": ("grpc_use_tls", Kind.BOOLEAN),
    "h2ping": ("h2ping", Kind.STRING),
    "h2pingusetls": ("h2ping_use_tls", Kind.BOOLEAN),
    "osservice": ("os_service", Kind.STRING),
    "tlsservername": ("tls_server_name", Kind.STRING),
    "tlsskipverify": ("tls_skip_verify", Kind.BOOLEAN),
    "tls_skip_verify": ("tls_skip_verify", Kind.BOOLEAN),
    "aliasnode": ("alias_node", Kind.STRING),
    "aliasservice": ("alias_service", Kind.STRING),
    "dockercontainerid": ("docker_container_id", Kind.STRING),
    "docker_container_id": ("docker_container_id", Kind.STRING),
    "shell": ("shell", Kind.STRING),
    "interval": ("interval_ns", Kind.DURATION),
    "timeout": ("timeout_ns", Kind.DURATION),
    "ttl": ("ttl_ns", Kind.DURATION),
    "successbeforepassing": ("success_before_passing", Kind.INTEGER),
    "failuresbeforewarning": ("failures_before_warning", Kind.INTEGER),
    "failuresbeforecritical": ("failures_before_critical", Kind.INTEGER),
    "deregistercriticalserviceafter": ("deregister_after_ns", Kind.DURATION),
    "deregister_critical_service_after": ("deregister_after_ns", Kind.DURATION),
    "outputmaxsize": ("output_max_size", Kind.INTEGER),
}
_CHECK_ALIASES = (
    "Interval interface {}; Timeout interface {}; TTL interface {}; DeregisterCriticalServiceAfter interface {}; "
    'Args []string "json:\\"args\\""; ScriptArgsSnake []string "json:\\"script_args\\""; '
    'DeregisterCriticalServiceAfterSnake interface {} "json:\\"deregister_critical_service_after\\""; '
    'DockerContainerIDSnake string "json:\\"docker_container_id\\""; '
    'TLSSkipVerifySnake bool "json:\\"tls_skip_verify\\""; '
)
SERVICE_CHECK_SHAPE = Shape(
    "CheckType",
    {
        # The service is the one around it, whatever the check says.
        "serviceid": ("", Kind.STRING),
        "service_id": ("", Kind.STRING),
        "checkid": ("check_id", Kind.STRING),
        "proxyhttp": ("proxy_http", Kind.STRING),
        "proxygrpc": ("proxy_grpc", Kind.STRING),
        **_CHECK_FIELDS,
    },
    decodes_itself=True,
)
CHECK_SHAPE = Shape(
    "CheckDefinition",
    {
        "id": ("check_id", Kind.STRING),
        "serviceid": ("service_id", Kind.STRING),
        "service_id": ("service_id", Kind.STRING),
        "token": ("token", Kind.STRING),
        **_CHECK_FIELDS,
    },
    decodes_itself=True,
    go_type=f'struct {{ {_CHECK_ALIASES}ServiceIDSnake string "json:\\"service_id\\""; *structs.Alias }}',
    type_names={"id": "types.CheckID"},
)
_ADDRESS_SHAPE = Shape("ServiceAddress", {"address": ("address", Kind.STRING), "port": ("port", Kind.INTEGER)})
_WEIGHTS_SHAPE = Shape("Weights", {"passing": ("passing", Kind.INTEGER), "warning": ("warning", Kind.INTEGER)})
_MESH_GATEWAY_SHAPE = Shape("MeshGatewayConfig", {"mode": ("Mode", Kind.STRING)})
_UPSTREAM_SHAPE = Shape(
    "Upstream",
    {
        "destinationtype": ("DestinationType", Kind.STRING),
        "destination_type": ("DestinationType", Kind.STRING),
        "destinationnamespace": ("DestinationNamespace", Kind.STRING),
        "destination_namespace": ("DestinationNamespace", Kind.STRING),
        "destinationname": ("DestinationName", Kind.STRING),
        "destination_name": ("DestinationName", Kind.STRING),
        "datacenter": ("Datacenter", Kind.STRING),
        "localbindaddress": ("LocalBindAddress", Kind.STRING),
        "local_bind_address": ("LocalBindAddress", Kind.STRING),
        "localbindport": ("LocalBindPort", Kind.INTEGER),
        "local_bind_port": ("LocalBindPort", Kind.INTEGER),
        "config": ("Config", Kind.ANY_MAP),
        "meshgateway": ("MeshGateway", _MESH_GATEWAY_SHAPE),
        "mesh_gateway": ("MeshGateway", _MESH_GATEWAY_SHAPE),
    },
    decodes_itself=True,
)
_EXPOSE_PATH_SHAPE = Shape(
    "ExposePath",
    {
        "listenerport": ("ListenerPort", Kind.INTEGER),
        "listener_port": ("ListenerPort", Kind.INTEGER),
        "path": ("Path", Kind.STRING),
        "localpathport": ("LocalPathPort", Kind.INTEGER),
        "local_path_port": ("LocalPathPort", Kind.INTEGER),
        "protocol": ("Protocol", Kind.STRING),
        "parsedfromcheck": ("", Kind.BOOLEAN),
    },
    decodes_itself=True,
)
_EXPOSE_SHAPE = Shape(
    "ExposeConfig", {"checks": ("Checks", Kind.BOOLEAN), "paths": ("Paths", ListOf(_EXPOSE_PATH_SHAPE))}
)
_PROXY_SHAPE = Shape(
    "ConnectProxyConfig",
    {
        "destinationservicename": ("DestinationServiceName", Kind.STRING),
        "destination_service_name": ("DestinationServiceName", Kind.STRING),
        "destinationserviceid": ("DestinationServiceID", Kind.STRING),
        "destination_service_id": ("DestinationServiceID", Kind.STRING),
        "localserviceaddress": ("LocalServiceAddress", Kind.STRING),
        "local_service_address": ("LocalServiceAddress", Kind.STRING),
        "localserviceport": ("LocalServicePort", Kind.INTEGER),
        "local_service_port": ("LocalServicePort", Kind.INTEGER),
        "config": ("Config", Kind.ANY_MAP),
        "upstreams": ("Upstreams", ListOf(_UPSTREAM_SHAPE)),
        "meshgateway": ("MeshGateway", _MESH_GATEWAY_SHAPE),
        "mesh_gateway": ("MeshGateway", _MESH_GATEWAY_SHAPE),
        "expose": ("Expose", _EXPOSE_SHAPE),
    },
    decodes_itself=True,
)


def _service_fields(connect: Shape) -> dict[str, tuple[str, FieldKind]]:
    return {
        "kind": ("kind", Kind.STRING),
        "id": ("service_id", Kind.STRING),
        "name": ("name", Kind.STRING),
        "tags": ("tags", Kind.STRINGS),
        "address": ("address", Kind.STRING),
        "taggedaddresses": ("tagged_addresses", MapOf(_ADDRESS_SHAPE)),
        "tagged_addresses": ("tagged_addresses", MapOf(_ADDRESS_SHAPE)),
        "meta": ("meta", Kind.STRING_MAP),
        "port": ("port", Kind.INTEGER),
        "check": ("check", SERVICE_CHECK_SHAPE),
        "checks": ("checks", ListOf(SERVICE_CHECK_SHAPE)),
        "weights": ("weights", _WEIGHTS_SHAPE),
        "token": ("token", Kind.STRING),
        "enabletagoverride": ("enable_tag_override", Kind.BOOLEAN),
        "enable_tag_override": ("enable_tag_override", Kind.BOOLEAN),
        "proxy": ("proxy", _PROXY_SHAPE),
        "connect": ("connect", connect),
    }


def _service_shape() -> Shape:
    """The shape of a service, which may hold another one: a sidecar."""
    connect_fields: dict[str, tuple[str, FieldKind]] = {"native": ("native", Kind.BOOLEAN)}
    shape = Shape(
        "ServiceDefinition",
        _service_fields(Shape("ServiceConnect", connect_fields, decodes_itself=True, lenient=True)),
        decodes_itself=True,
        go_type='struct { EnableTagOverrideSnake bool "json:\\"enable_tag_override\\""; '
        'TaggedAddressesSnake map[string]structs.ServiceAddress "json:\\"tagged_addresses\\""; *structs.Alias }',
        type_names={"kind": "structs.ServiceKind", "checks": "structs.CheckTypes"},
    )
    connect_fields["sidecarservice"] = ("sidecar", shape)
    connect_fields["sidecar_service"] = ("sidecar", shape)
    return shape


SERVICE_SHAPE = _service_shape()


def service_definition(value: Any) -> ServiceDefinition:
    """The definition in a JSON object; raises InvalidDefinition with Go's words."""
    return _service(decode(value, SERVICE_SHAPE))


def check_definition(value: Any) -> CheckDefinition:
    """The definition of a check of its own in a JSON object; raises InvalidDefinition."""
    return _check(decode(value, CHECK_SHAPE))


def _check(fields: dict[str, Any]) -> CheckDefinition:
    fields["script_args"] = tuple(fields.get("script_args", ()))
    return CheckDefinition(**fields)


def _service(fields: dict[str, Any]) -> ServiceDefinition:
    single = _check(fields.pop("check", {}))
    checks: tuple[CheckDefinition, ...] = () if single.is_empty else (single,)
    checks += tuple(_check(item) for item in fields.pop("checks", []))
    connect = fields.pop("connect", {})
    sidecar = connect.get("sidecar")
    weights = fields.pop("weights", None)
    return ServiceDefinition(
        **{
            **fields,
            "tags": tuple(fields.get("tags", ())),
            "tagged_addresses": {
                name: ServiceAddress(**address) for name, address in fields.get("tagged_addresses", {}).items()
            },
            "checks": checks,
            "weights": None if weights is None else Weights(weights.get("passing", 0), weights.get("warning", 0)),
            "connect": SidecarDefinition(
                native=connect.get("native", False), sidecar=None if sidecar is None else _service(sidecar)
            ),
        }
    )
