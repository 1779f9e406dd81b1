"""Access control records that need care: secrets, legacy tokens without accessor ID, the built-in policy."""

from __future__ import annotations

import io

import pytest
from msgspec.structs import replace

from lictor.state import commands as c
from lictor.state.consul_archive.codec import pack
from lictor.state.consul_archive.load import load_state
from lictor.state.machine.acl import MANAGEMENT_POLICY_ID, MANAGEMENT_RULES
from lictor.state.memory import MemoryStore
from lictor.state.queries import acl
from lictor.state.rows import ACLPolicy, ACLToken
from tests.state.builders import Machine

LEGACY = {"ID": "Old-Secret", "Name": "old", "Type": "client", "Rules": 'key "" { policy = "read" }'}
INDEXES = {"CreateIndex": 3, "ModifyIndex": 5}


@pytest.fixture
def old_cluster() -> MemoryStore:
    """The state after an archive of before Consul 1.4."""
    store = MemoryStore()
    state = (
        pack({"LastIndex": 9}) + b"\x04" + pack(LEGACY | INDEXES) + b"\x0b" + pack({"AllowBootstrap": False} | INDEXES)
    )
    load_state(store, io.BytesIO(state))
    return store


def test_secrets_differ_by_case_and_accessor_ids_do_not() -> None:
    machine = Machine()
    machine(c.TokenSet([ACLToken("ab-1", "Secret")]))
    machine(c.TokenSet([ACLToken("ab-2", "secret")]))
    assert acl.token_by_secret(machine.txn, "Secret").value == acl.token(machine.txn, "AB-1").value
    assert acl.token_by_secret(machine.txn, "SECRET").value is None


def test_an_old_archives_tokens_and_bootstrapping_are_kept(old_cluster: MemoryStore) -> None:
    token = acl.token_by_secret(old_cluster, "Old-Secret").value
    assert token is not None
    assert (token.accessor_id, token.description, token.type, token.rules) == ("", "old", "client", LEGACY["Rules"])
    assert acl.tokens(old_cluster).value == [token]
    assert acl.bootstrap_index(old_cluster) == 5


def test_a_legacy_token_gets_its_accessor_id_once(old_cluster: MemoryStore) -> None:
    machine = Machine()
    machine.txn = old_cluster
    token = acl.token_by_secret(old_cluster, "Old-Secret").value
    assert token is not None
    assert machine(c.TokenSet([replace(token, accessor_id="new")], cas=True)) == c.Done()
    upgraded = acl.token(old_cluster, "new").value
    assert upgraded is not None and acl.tokens(old_cluster).value == [upgraded]
    assert (upgraded.create_index, upgraded.modify_index) == (3, 10)
    assert acl.token_by_secret(old_cluster, "Old-Secret").value == upgraded
    assert isinstance(machine(c.TokenSet([replace(token, accessor_id="other")])), c.Failed)


def test_the_built_in_policy_takes_on_the_rules_that_this_program_knows_and_no_others() -> None:
    machine = Machine()
    older = ACLPolicy(MANAGEMENT_POLICY_ID, "global-management", rules='acl = "write"')
    assert machine(c.PolicySet([older])) == c.Done()
    assert machine(c.PolicySet([replace(older, name="root", rules=MANAGEMENT_RULES)])) == c.Done()
    assert machine(c.PolicySet([older])) == c.Failed(
        "Changing the Rules for the builtin global-management policy is not permitted"
    )
