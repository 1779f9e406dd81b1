"""The certificate authority of a secondary datacenter against a primary one that is a pair of keys."""

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from lictor.config.runtime import ConnectConfig, RuntimeConfig
from lictor.connect import certificates, intermediates
from lictor.connect.provider_config import HOUR_NS, parse_provider_config
from lictor.state import commands as c
from lictor.state.queries import operator
from lictor.state.rows import CAProviderState, CARoot
from raftd.leader.certificate_authority import AuthorityError, AuthorityRecords
from raftd.leader.replication.primary import PrimaryError, Roots
from raftd.leader.secondary_authority import SecondaryAuthority, needs_intermediate, succeeded_by
from tests.raftd.leader.test_replicator import Local

CLUSTER = "11111111-2222-3333-4444-555555555555"
CONFIG = RuntimeConfig(datacenter="sh", primary_datacenter="bj", connect=ConnectConfig(enabled=True))


class PrimaryAuthority:
    """Signs with its newest root."""

    def __init__(self) -> None:
        self.refusal = ""
        self.requests = 0
        self.rotate()

    def rotate(self, crossed: str = "") -> None:
        self.key = certificates.new_private_key()
        self.root = certificates.root_row(
            certificates.new_root(self.key, CLUSTER, 7, time.time_ns()), "consul", CLUSTER
        )
        if crossed:
            self.root = replace(self.root, intermediate_certs=[crossed])

    @property
    def roots(self) -> Roots:
        return Roots(CLUSTER, [self.root])

    async def sign_intermediate(self, request: str) -> str:
        self.requests += 1
        if self.refusal:
            raise PrimaryError(self.refusal)
        return intermediates.sign_authority(
            request, self.root.root_cert, self.key, CLUSTER, 8, 1000 * HOUR_NS, time.time_ns()
        )


class Secondary:
    """The duty over a state in memory."""

    def __init__(self, primary: PrimaryAuthority) -> None:
        self.local = Local()
        driver = SimpleNamespace(machine=SimpleNamespace(store=self.local))
        records = AuthorityRecords(cast(Any, driver), cast(Any, self.local), CONFIG)
        self.records = records
        self.duty = SecondaryAuthority(records, cast(Any, primary), CONFIG)

    async def follow(self, roots: Roots) -> None:
        await self.duty.follow(roots)

    @property
    def roots(self) -> list[CARoot]:
        return operator.ca_roots(self.local.machine.txn).value

    @property
    def active(self) -> CARoot:
        (active,) = [root for root in self.roots if root.active]
        return active

    @property
    def state(self) -> CAProviderState:
        state = operator.ca_provider_state(self.local.machine.txn, parse_provider_config({}).secondary_state_id)
        assert state is not None
        return state


async def test_it_gets_an_intermediate_and_the_primary_ones_trust_domain() -> None:
    primary = PrimaryAuthority()
    secondary = Secondary(primary)
    own = (await secondary.records.config()).cluster_id
    await secondary.follow(primary.roots)
    state, active = secondary.state, secondary.active
    intermediates.check_authority(state.intermediate_cert, primary.root.root_cert, state.private_key, CLUSTER)
    assert active.id == primary.root.id
    assert active.intermediate_certs == [state.intermediate_cert]
    assert active.signing_key_id == intermediates.signing_key_id(state.intermediate_cert)
    assert (await secondary.records.config()).cluster_id == CLUSTER != own
    before = len(secondary.local.proposed)
    await secondary.follow(primary.roots)
    assert (len(secondary.local.proposed), primary.requests) == (before, 1)


async def test_after_a_rotation_it_is_signed_anew_and_the_old_root_stays_trusted() -> None:
    primary = PrimaryAuthority()
    secondary = Secondary(primary)
    await secondary.follow(primary.roots)
    old, old_state = secondary.active, secondary.state
    primary.rotate(crossed="the new root signed by the old one")
    await secondary.follow(primary.roots)
    assert secondary.active.id == primary.root.id != old.id
    assert secondary.active.intermediate_certs == [
        "the new root signed by the old one",
        secondary.state.intermediate_cert,
    ]
    (kept,) = [root for root in secondary.roots if not root.active]
    assert kept.id == old.id and kept.rotated_out_at_ns
    assert secondary.state.private_key != old_state.private_key


async def test_a_refused_signature_leaves_the_old_intermediate_and_shows_the_new_root() -> None:
    primary = PrimaryAuthority()
    secondary = Secondary(primary)
    await secondary.follow(primary.roots)
    old_state = secondary.state
    primary.rotate()
    primary.refusal = "Permission denied"
    for _ in range(2):
        with pytest.raises(AuthorityError, match="refused to sign our intermediate CA certificate: Permission denied"):
            await secondary.follow(primary.roots)
    assert secondary.active.id == primary.root.id
    assert secondary.active.intermediate_certs is None
    assert secondary.state == old_state
    primary.refusal = ""
    await secondary.follow(primary.roots)
    assert secondary.active.intermediate_certs == [secondary.state.intermediate_cert]
    assert len(secondary.roots) == 2


async def test_a_primary_that_is_not_set_up_yet_is_an_error_to_try_again() -> None:
    primary = PrimaryAuthority()
    secondary = Secondary(primary)
    for roots, problem in (
        (Roots("", []), "trust domain from primary datacenter is not initialized"),
        (Roots(CLUSTER, []), "primary datacenter does not have an active root CA for Connect"),
        (Roots(CLUSTER, [replace(primary.root, active=False)]), "does not have an active root"),
    ):
        with pytest.raises(AuthorityError, match=problem):
            await secondary.follow(roots)
    assert secondary.roots == []


async def test_a_datacenter_that_was_its_own_primary_keeps_trusting_its_old_root() -> None:
    primary, before = PrimaryAuthority(), PrimaryAuthority()
    secondary = Secondary(primary)
    cluster_id = (await secondary.records.config()).cluster_id
    secondary.local.machine(c.CASetRoots(0, [replace(before.root, external_trust_domain="")]))
    await secondary.follow(primary.roots)
    (kept,) = [root for root in secondary.roots if not root.active]
    assert (kept.id, kept.external_trust_domain) == (before.root.id, cluster_id)
    assert secondary.active.id == primary.root.id


async def test_an_intermediate_is_replaced_when_half_of_its_life_is_over() -> None:
    primary = PrimaryAuthority()
    secondary = Secondary(primary)
    await secondary.follow(primary.roots)
    own, state, now_ns = secondary.active, secondary.state, time.time_ns()
    assert not needs_intermediate(primary.root, own, state, now_ns)
    assert needs_intermediate(primary.root, own, state, now_ns + 500 * HOUR_NS)
    assert needs_intermediate(primary.root, None, state, now_ns)
    assert needs_intermediate(primary.root, own, None, now_ns)
    assert needs_intermediate(primary.root, replace(own, signing_key_id="00"), state, now_ns)
    assert needs_intermediate(primary.root, own, replace(state, intermediate_cert=""), now_ns)


def test_the_same_root_is_there_once_whatever_its_intermediate() -> None:
    primary = PrimaryAuthority()
    renewed = replace(primary.root, signing_key_id="11")
    assert succeeded_by([primary.root], renewed, CLUSTER, 5) == [renewed]
