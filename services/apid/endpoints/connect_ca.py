"""/v1/connect/ca: Connect's roots, configuration and signing (Consul 1.7: connect_ca_endpoint.go)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from apid.core.decoding import ANY_MAP, BOOL, TEXT, TEXT_MAP, UINT64, DecodeError, Struct, decode
from apid.core.encoding import to_json
from apid.core.errors import (
    PERMISSION_DENIED,
    AnyServerError,
    Forbidden,
    HttpError,
    KnownServerRefusal,
    PrefixedBadRequest,
    TooManyRequests,
)
from apid.core.message import Answer, Request, Response
from apid.core.routes import Operation, Route
from apid.node.context import Node
from apid.node.reading import PLAIN, json_response
from lictor.connect.provider_config import CONSUL, ProviderConfig, ProviderConfigError, parse_provider_config
from lictor.connect.spiffe import AgentIdentity, Identity, SigningIdentity
from lictor.state import canonical, commands, render
from lictor.state.queries import operator
from lictor.state.queries.read import Read
from lictor.state.rows import CAConfig, CAProviderState, CARoot
from lictor.state.store import ReadTxn
from lictor.state.writer import read_index

if TYPE_CHECKING:
    from lictor.connect.certificates import IssuedLeaf, SigningRequest

CONNECT_OFF = "Connect must be enabled in order to use this endpoint"
NOT_READY = "internal error: CA provider is nil"
NO_ROOT = "internal error: CA root is nil"
NO_ROOT_AUTHORITY = "error generating CA root certificate: provider is not the root certificate authority"
NOT_PRIMARY = "not the primary datacenter"
SIGN_PATH = "/v1/internal/connect/ca/sign"
CSR_WAIT_S = 0.5
"""How long a signing request waits for its turn before it is refused."""
ROOTS_TABLE = "connect-ca-roots"
READ_PARAMETERS = ("dc", "index", "wait", "stale", "consistent", "max_stale")
CONFIGURATION = Struct(
    "CAConfiguration",
    {
        "Provider": TEXT,
        "Config": ANY_MAP,
        "State": TEXT_MAP,
        "ForceWithoutCrossSigning": BOOL,
        "CreateIndex": UINT64,
        "ModifyIndex": UINT64,
    },
    aliases={"force_without_cross_signing": "ForceWithoutCrossSigning"},
)
SIGNING_REQUEST = Struct("CASignRequest", {"CSR": TEXT})


class ConnectCaEndpoints:
    """The certificate authority as servers show it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._next_csr_s = 0.0
        self._changing = asyncio.Lock()

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/connect/ca/roots",
                {
                    "GET": Operation(
                        self.roots,
                        "The root certificates to trust",
                        query=READ_PARAMETERS,
                        result={"type": "object"},
                        responses={400: "A malformed parameter"},
                        meta_on_error=True,
                        namespaced=False,
                    )
                },
            ),
            Route(
                "/v1/connect/ca/configuration",
                {
                    "GET": Operation(
                        self.configuration,
                        "The provider's configuration",
                        query=("dc",),
                        result={"type": "object"},
                        namespaced=False,
                    ),
                    "PUT": Operation(
                        self.configure,
                        "Change the provider's configuration; another key or root begins a rotation",
                        query=("dc",),
                        body=CONFIGURATION,
                        responses={400: "A malformed body, or a State of its own"},
                        namespaced=False,
                    ),
                },
            ),
            Route(
                SIGN_PATH,
                {
                    "POST": Operation(
                        self.sign,
                        "Sign a leaf certificate; for the cluster's own agents",
                        body=SIGNING_REQUEST,
                        result={"type": "object"},
                        responses={400: "A malformed body", 404: "Asked by a client", 429: "Too many at once"},
                        bare_statuses=(404,),
                        namespaced=False,
                    )
                },
            ),
        ]

    # --------------------------------------------------------------------------------------------------- reading

    def roots(self, request: Request) -> Answer:
        options = self._node.reads.parse(request)
        if not self._node.config.connect.enabled:
            return self._node.reads.refuse(request, AnyServerError(CONNECT_OFF), PLAIN)
        return self._node.reads.answer(request, roots_and_cluster, render_roots, PLAIN, options)

    async def configuration(self, request: Request) -> Response:
        options = self._node.reads.parse(request)
        self._require_enabled()
        if not self._node.authorizer(request).operator_read():
            raise Forbidden(PERMISSION_DENIED)
        found, _, _ = await self._node.reads.run(operator.ca_config, options)
        if found.value is None:
            raise HttpError(NOT_READY)
        return json_response(render.ca_config(found.value))

    # -------------------------------------------------------------------------------------------------- changing

    async def configure(self, request: Request) -> Response:
        try:
            fields = decode(CONFIGURATION, request.body)
        except DecodeError as error:
            raise PrefixedBadRequest(f"Request decode failed: {error}") from None
        self._require_enabled()
        if not self._node.authorizer(request).operator_write():
            raise Forbidden(PERMISSION_DENIED)
        async with self._changing:
            await self._configure(fields)
        return Response(200)

    async def _configure(self, fields: dict[str, Any]) -> None:
        await self._catch_up()
        with self._node.state.read() as txn:
            stored = operator.ca_config(txn).value
            roots: list[CARoot] = operator.ca_roots(txn).value
            roots_index = read_index(txn, ROOTS_TABLE)
        active = next((root for root in roots if root.active), None)
        if stored is None or active is None:
            raise HttpError(NOT_READY)
        given_state = fields.get("State")
        if given_state and given_state != stored.state:
            raise KnownServerRefusal(
                "Provider State is read-only. It must be omitted or identical to the current value"
            )
        provider_name, raw = fields.get("Provider", ""), canonical.value(fields.get("Config"))
        forced = fields.get("ForceWithoutCrossSigning", False)
        if provider_name == stored.provider and raw == stored.config:
            return
        if provider_name != CONSUL:
            raise HttpError(f'could not initialize provider: unknown CA provider "{provider_name}"')
        try:
            provider = parse_provider_config(raw)
        except ProviderConfigError as error:
            raise HttpError(f"error configuring provider: {error}") from None
        config = CAConfig(stored.cluster_id, provider_name, raw, stored.state, forced)
        # Only the new key and root matter for the roots, and both may be there already.
        if self._node.config.is_secondary:
            raise HttpError(NO_ROOT_AUTHORITY)
        new_state = await self._provider_state(provider, stored.cluster_id)
        if new_state.root_cert == active.root_cert:
            applied = await self._node.consensus.propose(commands.CASetConfig(config, stored.modify_index))
        else:
            rotated = await self._rotated(roots, active, new_state, stored, forced)
            applied = await self._node.consensus.propose(
                commands.CASetRoots(roots_index, rotated, config, stored.modify_index)
            )
        if isinstance(applied.result, commands.Outcome) and not applied.result.ok:
            raise HttpError("could not atomically update roots and config")
        old_id = parse_provider_config(stored.config).state_id
        if old_id != provider.state_id:
            await self._node.consensus.propose(commands.CADeleteProviderState(old_id))

    async def _provider_state(self, provider: ProviderConfig, cluster_id: str) -> CAProviderState:
        """Key and root of a configuration: those stored, those the operator gives, or new ones."""
        from lictor.connect import certificates

        with self._node.state.read() as txn:
            known = operator.ca_provider_state(txn, provider.state_id)
        if known is not None and known.root_cert:
            return known
        try:
            key = provider.private_key or await asyncio.to_thread(
                certificates.new_private_key, provider.private_key_type, provider.private_key_bits
            )
            if provider.root_cert:
                root = provider.root_cert
                if "-----BEGIN " not in root:
                    raise HttpError(f"error parsing root fingerprint: {certificates.NO_PEM}")
                certificates.check_root(root, key)
            else:
                root = certificates.new_root(key, cluster_id, (await self._next_serial())[0], time.time_ns())
        except certificates.CertificateError as error:
            raise HttpError(f"error generating CA root certificate: error generating CA: {error}") from None
        state = CAProviderState(provider.state_id, key, root)
        await self._node.consensus.propose(commands.CASetProviderState(state))
        return state

    async def _rotated(
        self, roots: list[CARoot], active: CARoot, new_state: CAProviderState, stored: CAConfig, forced: bool
    ) -> list[CARoot]:
        """The roots after a rotation: the new one active and signed by the old one, which stays trusted."""
        from lictor.connect import certificates

        old_provider = parse_provider_config(stored.config)
        with self._node.state.read() as txn:
            old_state = operator.ca_provider_state(txn, old_provider.state_id)
        row = certificates.root_row(new_state.root_cert, CONSUL, stored.cluster_id)
        can_cross_sign = old_state is not None and not old_provider.disable_cross_signing
        if not can_cross_sign and not forced:
            raise HttpError(
                "The current CA Provider does not support cross-signing. You can try again with "
                "ForceWithoutCrossSigningSet but this may cause disruption - see documentation for more."
            )
        if can_cross_sign:
            assert old_state is not None
            serial, _ = await self._next_serial()
            crossed = certificates.cross_sign(
                new_state.root_cert, old_state.root_cert, old_state.private_key, serial, time.time_ns()
            )
            row = replace(row, intermediate_certs=[crossed])
        now_ns = time.time_ns()
        kept = [replace(root, active=False, rotated_out_at_ns=now_ns) if root.active else root for root in roots]
        return [*(root for root in kept if root.id != row.id), row]

    # --------------------------------------------------------------------------------------------------- signing

    async def sign(self, request: Request) -> Response:
        if not request.internal:
            return Response(404, plain=True)
        try:
            fields = decode(SIGNING_REQUEST, request.body)
        except DecodeError as error:
            raise PrefixedBadRequest(f"Request decode failed: {error}") from None
        return json_response(to_json(await self.signed(request, fields.get("CSR", ""))))

    async def signed(self, request: Request, csr: str) -> dict[str, Any]:
        """A leaf for a signing request, as it is shown. Errors: HttpError."""
        leaf, identity, index = await self._sign_leaf(request, csr)
        kind = "Agent" if isinstance(identity, AgentIdentity) else "Service"
        return {
            "SerialNumber": leaf.serial,
            "CertPEM": leaf.certificate,
            kind: leaf.subject,
            f"{kind}URI": leaf.uri,
            "ValidAfter": render.time_text(leaf.not_before_ns),
            "ValidBefore": render.time_text(leaf.not_after_ns),
            "CreateIndex": index,
            "ModifyIndex": index,
        }

    async def _sign_leaf(self, request: Request, csr: str) -> tuple[IssuedLeaf, Identity, int]:
        from lictor.connect import certificates

        self._require_enabled()
        try:
            wanted = certificates.parse_signing_request(csr)
        except certificates.CertificateError as error:
            raise HttpError(str(error)) from None
        await self._catch_up_unless_leader()
        with self._node.state.read() as txn:
            config = operator.ca_config(txn).value
            roots = operator.ca_roots(txn).value
            provider = parse_provider_config(config.config) if config is not None else None
            state = self._provider_record(txn, provider) if provider is not None else None
        active = next((root for root in roots if root.active), None)
        secondary = self._node.config.is_secondary
        if secondary and config is not None and active is None:
            raise HttpError(NO_ROOT)
        if config is None or provider is None or active is None or (state is None and not secondary):
            raise HttpError(NOT_READY)
        self._check_identity(request, wanted, config.cluster_id)
        if state is None or (secondary and not state.intermediate_cert):
            raise HttpError(f"error parsing CA cert: {certificates.NO_PEM}")
        await self._wait_for_turn(provider.csr_max_per_second)
        serial, index = await self._next_serial()
        issuer = state.intermediate_cert if secondary else state.root_cert
        leaf = certificates.sign_leaf(
            wanted, issuer, state.private_key, serial, provider.leaf_cert_ttl_ns, time.time_ns()
        )
        # Who verifies needs what leads from the leaf to a root: our intermediate, and for those who know only an
        # older root the cross-signed one.
        chain = [issuer] if secondary else []
        chain += [certificate for certificate in active.intermediate_certs or () if certificate not in chain]
        return certificates.with_chain(leaf, chain), wanted.identity, index

    def _provider_record(self, txn: ReadTxn, provider: ProviderConfig) -> CAProviderState | None:
        """Key and certificates that sign here."""
        state_id = provider.secondary_state_id if self._node.config.is_secondary else provider.state_id
        return operator.ca_provider_state(txn, state_id)

    async def sign_intermediate(self, request: Request, csr: str) -> str:
        """A certificate for the authority of another datacenter, as PEM. Errors: HttpError."""
        from lictor.connect import certificates, intermediates

        self._require_enabled()
        if self._node.config.is_secondary:
            raise HttpError(NOT_PRIMARY)
        if not self._node.authorizer(request).operator_write():
            raise Forbidden(PERMISSION_DENIED)
        await self._catch_up_unless_leader()
        with self._node.state.read() as txn:
            config = operator.ca_config(txn).value
            provider = parse_provider_config(config.config) if config is not None else None
            state = self._provider_record(txn, provider) if provider is not None else None
        if config is None or provider is None or state is None or not state.root_cert:
            raise HttpError(NOT_READY)
        serial, _ = await self._next_serial()
        try:
            return intermediates.sign_authority(
                csr,
                state.root_cert,
                state.private_key,
                config.cluster_id,
                serial,
                provider.intermediate_cert_ttl_ns,
                time.time_ns(),
            )
        except certificates.CertificateError as error:
            raise HttpError(str(error)) from None

    def _check_identity(self, request: Request, wanted: SigningRequest, cluster_id: str) -> None:
        identity, signing = wanted.identity, SigningIdentity(cluster_id)
        if isinstance(identity, AgentIdentity):
            # An agent that asks for the first time does not know the trust domain yet.
            if not self._node.authorizer(request).node_write(identity.agent):
                raise Forbidden(PERMISSION_DENIED)
            self._refuse_server_names(wanted)
            return
        if not signing.may_sign(identity):
            raise HttpError(f"SPIFFE ID in CSR from a different trust domain: {identity.host}, we are {signing.host}")
        if not self._node.authorizer(request).service_write(identity.service):
            raise Forbidden(PERMISSION_DENIED)
        own = self._node.config.datacenter
        if identity.datacenter != own:
            raise HttpError(f"SPIFFE ID in CSR from a different datacenter: {identity.datacenter}, we are {own}")

    def _refuse_server_names(self, wanted: SigningRequest) -> None:
        """Who dials by name takes the holder of such a certificate for a server: no client may have one."""
        domain = self._node.config.dns.domain.rstrip(".")
        for name in wanted.dns_names():
            if name.lower().startswith("server.") and name.lower().endswith(f".{domain}"):
                raise HttpError(f"the certificate of a client cannot have a server's name: {name}")

    async def _wait_for_turn(self, per_second: float) -> None:
        """Spaces signatures evenly. Errors: TooManyRequests when the turn would come too late."""
        if per_second <= 0:
            return
        now_s = asyncio.get_running_loop().time()
        turn_s = max(self._next_csr_s, now_s)
        if turn_s - now_s > CSR_WAIT_S:
            raise TooManyRequests("Rate limit reached, try again later")
        self._next_csr_s = turn_s + 1 / per_second
        await asyncio.sleep(turn_s - now_s)

    async def _next_serial(self) -> tuple[int, int]:
        """A serial number that was never given before, and the index it was taken at."""
        applied = await self._node.consensus.propose(commands.CANextSerial())
        assert isinstance(applied.result, commands.Number)
        return applied.result.value, applied.index

    async def _catch_up(self) -> None:
        """Returns when the local state has everything that was acknowledged."""
        await self._node.changes.caught_up(await self._node.consensus.barrier())

    async def _catch_up_unless_leader(self) -> None:
        if not self._node.state.serves_default():
            await self._catch_up()

    def _require_enabled(self) -> None:
        if not self._node.config.connect.enabled:
            raise AnyServerError(CONNECT_OFF)


def roots_and_cluster(txn: ReadTxn) -> Read[tuple[list[CARoot], str]]:
    """All trusted roots with the cluster's ID."""
    roots = operator.ca_roots(txn)
    config = operator.ca_config(txn).value
    return Read((roots.value, config.cluster_id if config is not None else ""), roots.index, roots.topics)


def render_roots(value: tuple[list[CARoot], str]) -> Response:
    roots, cluster_id = value
    return json_response(render.ca_roots(roots, cluster_id))
