"""Reading an archive into an empty keyspace.

Catalog objects carry no indexes of their own in the archive: they get its last index. Keys, sessions, tokens and the
rest keep theirs, and so do the tables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any

import msgpack

from lictor.state import canonical, keys
from lictor.state.config_entries import config_body
from lictor.state.consul_archive.archive import ArchiveError, ArchiveMeta, read_outside
from lictor.state.consul_archive.codec import (
    Fields,
    fields,
    optional_time_ns,
    plain,
    text,
    text_map,
    texts,
    time_ns,
)
from lictor.state.consul_archive.kinds import IGNORABLE, Kind
from lictor.state.machine import acl, catalog, config_entry, intention, query, session
from lictor.state.rows import (
    ACLAuthMethod,
    ACLBindingRule,
    ACLPolicy,
    ACLRole,
    ACLToken,
    AutopilotConfig,
    CAConfig,
    CAProviderState,
    CARoot,
    Check,
    ConfigEntry,
    Coordinate,
    Intention,
    KVEntry,
    Link,
    Node,
    PreparedQuery,
    Service,
    ServiceIdentity,
    Session,
    encode,
)
from lictor.state.store import WriteTxn
from lictor.state.writer import Refused, Writer

RECORD_MAX_BYTES = 1 << 30
"""Longest single record: far above what Consul accepts as a value or a transaction."""


def load_archive(txn: WriteTxn, file: IO[bytes]) -> ArchiveMeta:
    """Puts everything the archive holds into the keyspace, which must be empty; the caller commits.

    Errors: ArchiveError, when the file is damaged or holds a record that is not understood: then abandon the
    transaction.
    """
    meta, state = read_outside(file)
    with state:
        load_state(txn, state)
    return meta


def load_state(txn: WriteTxn, state: IO[bytes]) -> int:
    """The inner file alone; the last index it names."""
    unpacker: Any = msgpack.Unpacker(state, raw=True, strict_map_key=False, max_buffer_size=RECORD_MAX_BYTES)
    writer = Writer(txn)
    loader = _Loader(writer)
    try:
        writer.index = int(fields(unpacker.unpack())["LastIndex"])
        while kind := unpacker.read_bytes(1):
            loader.load(kind[0], unpacker.unpack())
    except (msgpack.UnpackException, ValueError, KeyError, TypeError, AttributeError, Refused) as error:
        raise ArchiveError(f"failed to restore snapshot: {STATE_PROBLEM}: {error!r}") from error
    loader.finish()
    return writer.index


STATE_PROBLEM = "state.bin holds something that is not understood"


class _Loader:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._indexes: dict[str, int] = {}
        self._roots: list[CARoot] = []
        self._handlers: dict[int, Callable[[Any], None]] = {
            Kind.REGISTER: self._register,
            Kind.KV: self._kv,
            Kind.SESSION: self._session,
            Kind.TOMBSTONE: self._tombstone,
            Kind.COORDINATES: self._coordinates,
            Kind.PREPARED_QUERY: self._prepared_query,
            Kind.AUTOPILOT: self._autopilot,
            Kind.INTENTION: self._intention,
            Kind.CA_ROOT: self._ca_root,
            Kind.CA_PROVIDER_STATE: self._ca_provider_state,
            Kind.CA_CONFIG: self._ca_config,
            Kind.INDEX: self._index,
            Kind.TOKEN: self._token,
            Kind.LEGACY_ACL: self._legacy_acl,
            Kind.LEGACY_ACL_BOOTSTRAP: self._legacy_bootstrap,
            Kind.POLICY: self._policy,
            Kind.CONFIG_ENTRY: self._config_entry,
            Kind.ROLE: self._role,
            Kind.BINDING_RULE: self._binding_rule,
            Kind.AUTH_METHOD: self._auth_method,
            Kind.CHUNKING_STATE: self._chunking_state,
        }

    def load(self, kind: int, raw: Any) -> None:
        handler = self._handlers.get(kind & ~IGNORABLE)
        if handler is None:
            if kind & IGNORABLE:
                return
            raise ValueError(f"record of unknown kind {kind}")
        handler(raw)

    def finish(self) -> None:
        """The tables' indexes come last: they replace what loading the records left.

        Every service keeps an index of its own, even if the archive has none: it is how services are found.
        """
        writer = self._writer
        if self._roots:
            writer.put(keys.CA_ROOTS, encode(self._roots))
        for name in list(writer.bumped()):
            if name not in self._indexes and not name.startswith(catalog.service_index("")):
                writer.forget_index(name)
        for name, value in self._indexes.items():
            writer.set_index(name, value)
        writer.flush()

    # ------------------------------------------------------------------------------------------------ catalog

    def _register(self, raw: Any) -> None:
        item = fields(raw)
        name = text(item["Node"])
        if catalog.find_node(self._writer, name) is None:
            catalog.ensure_node(
                self._writer,
                Node(
                    text(item["ID"]),
                    name,
                    text(item["Address"]),
                    text(item["Datacenter"]),
                    text_map(item["TaggedAddresses"]),
                    text_map(item["NodeMeta"]),
                ),
            )
        if item.get("Service") is not None:
            catalog.ensure_service(self._writer, name, _service(fields(item["Service"])))
        checks = [item["Check"]] if item.get("Check") is not None else []
        for check in [*checks, *(item.get("Checks") or [])]:
            catalog.ensure_check(self._writer, _check(fields(check)))

    def _coordinates(self, raw: Any) -> None:
        for entry in raw or []:
            item = fields(entry)
            at = fields(item["Coord"])
            row = Coordinate(
                text(item["Node"]),
                text(item.get("Segment")),
                [float(part) for part in at["Vec"]],
                float(at["Error"]),
                float(at["Adjustment"]),
                float(at["Height"]),
            )
            self._writer.put(keys.coordinate(row.node, row.segment), encode(row))

    # ------------------------------------------------------------------------------------------------ keys, sessions

    def _kv(self, raw: Any) -> None:
        item = fields(raw)
        key = bytes(item["Key"])
        holder = text(item.get("Session"))
        entry = KVEntry(
            item["LockIndex"], item["Flags"], item["Value"], holder, item["CreateIndex"], item["ModifyIndex"]
        )
        self._writer.put(keys.kv(key), encode(entry))
        if holder:
            self._writer.put(keys.kv_of_session(holder) + key, b"")

    def _tombstone(self, raw: Any) -> None:
        item = fields(raw)
        self._writer.put(keys.tombstone(bytes(item["Key"])), int(item["ModifyIndex"]).to_bytes(8, "big"))

    def _session(self, raw: Any) -> None:
        item = fields(raw)
        services = item.get("ServiceChecks")
        session.insert(
            self._writer,
            Session(
                text(item["ID"]),
                text(item["Name"]),
                text(item["Node"]),
                item["LockDelay"],
                text(item["Behavior"]),
                text(item["TTL"]),
                texts(item.get("NodeChecks")),
                None if services is None else [text_map(check) or {} for check in services],
                item["CreateIndex"],
                item["ModifyIndex"],
                texts(item.get("Checks")),
            ),
        )

    def _prepared_query(self, raw: Any) -> None:
        item = fields(raw)
        query.insert_query(
            self._writer,
            PreparedQuery(
                text(item["ID"]),
                text(item["Name"]),
                text(item["Session"]),
                text(item["Token"]),
                canonical.prepared_query_template(plain(item["Template"])),
                canonical.prepared_query_service(plain(item["Service"])),
                text(fields(item["DNS"])["TTL"]),
                item["CreateIndex"],
                item["ModifyIndex"],
            ),
        )

    # ------------------------------------------------------------------------------------------------ operator, connect

    def _autopilot(self, raw: Any) -> None:
        item = fields(raw)
        row = AutopilotConfig(
            item["CleanupDeadServers"],
            item["LastContactThreshold"],
            item["MaxTrailingLogs"],
            item.get("MinQuorum", 0),
            item["ServerStabilizationTime"],
            text(item["RedundancyZoneTag"]),
            item["DisableUpgradeMigration"],
            text(item["UpgradeVersionTag"]),
            item["CreateIndex"],
            item["ModifyIndex"],
        )
        self._writer.put(keys.AUTOPILOT, encode(row))

    def _intention(self, raw: Any) -> None:
        item = fields(raw)
        intention.insert_intention(
            self._writer,
            Intention(
                text(item["ID"]),
                text(item["Description"]),
                text(item["SourceNS"]),
                text(item["SourceName"]),
                text(item["DestinationNS"]),
                text(item["DestinationName"]),
                text(item["SourceType"]),
                text(item["Action"]),
                text_map(item["Meta"]),
                item["Precedence"],
                time_ns(item["CreatedAt"]),
                time_ns(item["UpdatedAt"]),
                item.get("Hash"),
                item["CreateIndex"],
                item["ModifyIndex"],
                text(item.get("DefaultAddr")),
                item.get("DefaultPort", 0),
            ),
        )

    def _ca_root(self, raw: Any) -> None:
        item = fields(raw)
        self._roots.append(
            CARoot(
                text(item["ID"]),
                text(item["Name"]),
                item["SerialNumber"],
                text(item["SigningKeyID"]),
                text(item["ExternalTrustDomain"]),
                time_ns(item["NotBefore"]),
                time_ns(item["NotAfter"]),
                text(item["RootCert"]),
                texts(item["IntermediateCerts"]),
                text(item["SigningCert"]),
                text(item["SigningKey"]),
                item["Active"],
                optional_time_ns(item["RotatedOutAt"]),
                text(item["PrivateKeyType"]),
                item["PrivateKeyBits"],
                item["CreateIndex"],
                item["ModifyIndex"],
            )
        )

    def _ca_provider_state(self, raw: Any) -> None:
        item = fields(raw)
        row = CAProviderState(
            text(item["ID"]),
            text(item["PrivateKey"]),
            text(item["RootCert"]),
            text(item.get("IntermediateCert")),
            item["CreateIndex"],
            item["ModifyIndex"],
        )
        self._writer.put(keys.ca_provider_state(row.id), encode(row))

    def _ca_config(self, raw: Any) -> None:
        item = fields(raw)
        row = CAConfig(
            text(item["ClusterID"]),
            text(item["Provider"]),
            canonical.value(plain(item["Config"] or {})),
            text_map(item.get("State")),
            bool(item.get("ForceWithoutCrossSigning")),
            item["CreateIndex"],
            item["ModifyIndex"],
        )
        self._writer.put(keys.CA_CONFIG, encode(row))

    def _config_entry(self, raw: Any) -> None:
        """A request inside bytes: the entry's kind, then a map; proxy-defaults have their Entry in bytes once more."""
        kind, request = _kind_and_map(raw)
        entry = request["Entry"]
        if isinstance(entry, bytes):
            entry = msgpack.unpackb(entry, raw=True, strict_map_key=False)
        body = plain(entry)
        config_entry.insert_entry(
            self._writer,
            ConfigEntry(kind, body["Name"], config_body(kind, body), body["CreateIndex"], body["ModifyIndex"]),
        )

    # ------------------------------------------------------------------------------------------------ access control

    def _token(self, raw: Any) -> None:
        item = fields(raw)
        acl.insert_token(
            self._writer,
            ACLToken(
                text(item["AccessorID"]),
                text(item["SecretID"]),
                text(item["Description"]),
                _links(item["Policies"]),
                _links(item["Roles"]),
                _identities(item["ServiceIdentities"]),
                text(item["Type"]),
                text(item["Rules"]),
                item["Local"],
                text(item["AuthMethod"]),
                optional_time_ns(item["ExpirationTime"]),
                optional_time_ns(item["CreateTime"]) or 0,
                item["Hash"] or b"",
                item["CreateIndex"],
                item["ModifyIndex"],
            ),
        )

    def _legacy_acl(self, raw: Any) -> None:
        """A token of before Consul 1.4; the leader will give it an accessor ID."""
        item = fields(raw)
        acl.insert_token(
            self._writer,
            ACLToken(
                "",
                text(item["ID"]),
                text(item["Name"]),
                type=text(item["Type"]),
                rules=text(item["Rules"]),
                create_index=item["CreateIndex"],
                modify_index=item["ModifyIndex"],
            ),
        )

    def _legacy_bootstrap(self, raw: Any) -> None:
        """Whether bootstrapping was done, before that was an index."""
        self._indexes[acl.BOOTSTRAP_INDEX] = int(fields(raw)["ModifyIndex"])

    def _policy(self, raw: Any) -> None:
        item = fields(raw)
        acl.insert_policy(
            self._writer,
            ACLPolicy(
                text(item["ID"]),
                text(item["Name"]),
                text(item["Description"]),
                text(item["Rules"]),
                texts(item["Datacenters"]),
                item["Hash"] or b"",
                item.get("Syntax", 0),
                item["CreateIndex"],
                item["ModifyIndex"],
            ),
        )

    def _role(self, raw: Any) -> None:
        item = fields(raw)
        acl.insert_role(
            self._writer,
            ACLRole(
                text(item["ID"]),
                text(item["Name"]),
                text(item["Description"]),
                _links(item["Policies"]),
                _identities(item["ServiceIdentities"]),
                item["Hash"] or b"",
                item["CreateIndex"],
                item["ModifyIndex"],
            ),
        )

    def _binding_rule(self, raw: Any) -> None:
        item = fields(raw)
        acl.insert_binding_rule(
            self._writer,
            ACLBindingRule(
                text(item["ID"]),
                text(item["Description"]),
                text(item["AuthMethod"]),
                text(item["Selector"]),
                text(item["BindType"]),
                text(item["BindName"]),
                item["CreateIndex"],
                item["ModifyIndex"],
            ),
        )

    def _auth_method(self, raw: Any) -> None:
        item = fields(raw)
        acl.insert_auth_method(
            self._writer,
            ACLAuthMethod(
                text(item["Name"]),
                text(item["Type"]),
                text(item["Description"]),
                canonical.value(plain(item["Config"] or {})),
                item["CreateIndex"],
                item["ModifyIndex"],
            ),
        )

    def _index(self, raw: Any) -> None:
        item = fields(raw)
        name = text(item["Key"])
        prefix = catalog.service_index("")
        if name.startswith(prefix):
            name = catalog.service_index(name.removeprefix(prefix))
        self._indexes[name] = int(item["Value"])

    def _chunking_state(self, raw: Any) -> None:
        """Entries that were on their way in pieces: nobody was told that they are stored."""


def _service(item: Fields) -> Service:
    weights = fields(item["Weights"])
    addresses = item["TaggedAddresses"]
    return Service(
        "",
        text(item["ID"]),
        text(item["Service"]),
        text(item["Kind"]),
        texts(item["Tags"]),
        text(item["Address"]),
        None if addresses is None else plain(addresses),
        text_map(item["Meta"]),
        item["Port"],
        (weights["Passing"], weights["Warning"]) if weights else None,
        item["EnableTagOverride"],
        canonical.proxy(plain(item["Proxy"])),
        canonical.connect(plain(item["Connect"])),
    )


def _check(item: Fields) -> Check:
    return Check(
        text(item["Node"]),
        text(item["CheckID"]),
        text(item["Name"]),
        text(item["Status"]),
        text(item["Notes"]),
        text(item["Output"]),
        text(item["ServiceID"]),
        text(item["ServiceName"]),
        texts(item["ServiceTags"]),
        text(item.get("Type")),
        canonical.check_definition(plain(item["Definition"])),
    )


def _links(raw: Any) -> list[Link]:
    return [Link(text(item[b"ID"]), text(item[b"Name"])) for item in raw or []]


def _identities(raw: Any) -> list[ServiceIdentity]:
    return [ServiceIdentity(text(item[b"ServiceName"]), texts(item[b"Datacenters"])) for item in raw or []]


def _kind_and_map(raw: bytes) -> tuple[str, Fields]:
    unpacker: Any = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=RECORD_MAX_BYTES)
    unpacker.feed(raw)
    return text(unpacker.unpack()), fields(unpacker.unpack())
