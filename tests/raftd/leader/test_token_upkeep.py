"""Which tokens the leader deletes and which it brings up to date."""

from lictor.acl.builtin import ANONYMOUS_ACCESSOR_ID, MANAGEMENT_POLICY_ID
from lictor.acl.hashes import token_hash
from lictor.state.rows import ACLToken, Link
from raftd.leader.token_upkeep import DELETIONS_MAX, UPGRADES_MAX, Expiry, upgraded

TOKENS = [
    ACLToken("for-ever", "s1"),
    ACLToken("over", "s2", expiration_time_ns=99),
    ACLToken("later", "s3", expiration_time_ns=200),
    ACLToken("local", "s4", expiration_time_ns=50, local=True),
]


def test_each_kind_finds_its_own_expired_tokens() -> None:
    assert Expiry(is_local=False).expired(TOKENS, 1, 100) == ["over"]
    assert Expiry(is_local=True).expired(TOKENS, 1, 100) == ["local"]
    assert Expiry(is_local=False).expired(TOKENS, 1, 201) == ["over", "later"]


def test_tokens_are_looked_at_again_when_one_changes_or_the_next_one_expires() -> None:
    expiry = Expiry(is_local=False)
    assert expiry.is_worth_looking(1, 100)
    expiry.expired(TOKENS[2:], 1, 100)
    assert not expiry.is_worth_looking(1, 200)
    assert expiry.is_worth_looking(1, 201)
    assert expiry.is_worth_looking(2, 100)


def test_without_expiring_tokens_time_alone_changes_nothing() -> None:
    expiry = Expiry(is_local=False)
    expiry.expired(TOKENS[:1], 1, 100)
    assert not expiry.is_worth_looking(1, 10**18)


def test_one_command_deletes_and_upgrades_so_many() -> None:
    many = [ACLToken(f"t{number}", f"s{number}", expiration_time_ns=1) for number in range(DELETIONS_MAX + 1)]
    assert len(Expiry(is_local=False).expired(many, 1, 100)) == DELETIONS_MAX
    old = [ACLToken("", f"s{number}", type="client") for number in range(UPGRADES_MAX + 1)]
    assert len(upgraded(old, lambda: "new")) == UPGRADES_MAX


def test_legacy_tokens_get_accessor_ids_and_those_for_management_the_policy() -> None:
    tokens = [
        ACLToken("", "anonymous", type="client"),
        ACLToken("", "boss", type="management", modify_index=7),
        ACLToken("present", "s", type="management"),
    ]
    anonymous, boss = upgraded(tokens, lambda: "new")
    assert (anonymous.accessor_id, anonymous.policies) == (ANONYMOUS_ACCESSOR_ID, [])
    assert (boss.accessor_id, boss.policies, boss.modify_index) == ("new", [Link(MANAGEMENT_POLICY_ID, "")], 7)
    assert boss.hash == token_hash(boss)
