"""Keys, locks, tombstones and their indexes."""

from __future__ import annotations

from lictor.acl.defaults import DENY
from lictor.acl.enforce import RuleAuthorizer
from lictor.acl.merge import merge
from lictor.acl.rules import parse
from lictor.state import commands as c
from lictor.state import render
from lictor.state.queries import kv
from tests.state.builders import OTHER_SESSION, SESSION, Machine, session

TRUE, FALSE = c.Outcome(True), c.Outcome(False)


def _shown(machine: Machine, key: bytes) -> tuple[int, bytes | None, str, int, int]:
    entry = kv.get(machine.txn, key).value
    assert entry is not None
    return entry.lock_index, entry.value, entry.session, entry.create_index, entry.modify_index


def test_an_identical_set_changes_no_index_and_wakes_nobody() -> None:
    machine = Machine()
    machine(c.KV("set", b"a", b"1"))
    machine(c.KV("set", b"a", b"1"))
    assert machine.topics == set()
    assert _shown(machine, b"a") == (0, b"1", "", 10, 10)
    machine(c.KV("set", b"a", b"1", flags=1))
    assert _shown(machine, b"a") == (0, b"1", "", 10, 12)


def test_cas_compares_the_modify_index_and_zero_means_absent() -> None:
    machine = Machine()
    assert machine(c.KV("cas", b"a", b"1", index=0)) == TRUE
    assert machine(c.KV("cas", b"a", b"2", index=0)) == FALSE
    assert machine(c.KV("cas", b"a", b"2", index=10)) == TRUE
    assert machine(c.KV("delete-cas", b"a", index=10)) == FALSE
    assert machine(c.KV("delete-cas", b"a", index=12)) == TRUE
    assert machine(c.KV("delete-cas", b"a", index=12)) == TRUE


def test_the_lock_index_counts_new_holders_and_a_plain_set_resets_it() -> None:
    machine = Machine()
    machine.register()
    machine(session())
    machine(session(OTHER_SESSION))
    assert machine(c.KV("lock", b"l", b"1", session=SESSION)) == TRUE
    assert machine(c.KV("lock", b"l", b"2", session=OTHER_SESSION)) == FALSE
    assert machine(c.KV("lock", b"l", b"3", session=SESSION)) == TRUE
    assert _shown(machine, b"l")[:3] == (1, b"3", SESSION)
    assert machine(c.KV("unlock", b"l", b"4", session=OTHER_SESSION)) == FALSE
    assert machine(c.KV("unlock", b"l", b"4", session=SESSION)) == TRUE
    assert _shown(machine, b"l")[:3] == (1, b"4", "")
    assert machine(c.KV("lock", b"l", b"5", session=OTHER_SESSION)) == TRUE
    assert _shown(machine, b"l")[:3] == (2, b"5", OTHER_SESSION)
    machine(c.KV("set", b"l", b"6"))
    assert _shown(machine, b"l")[:3] == (0, b"6", OTHER_SESSION)


def test_a_lock_needs_a_session_that_exists() -> None:
    machine = Machine()
    assert machine(c.KV("lock", b"l")) == c.Failed("missing session")
    assert machine(c.KV("lock", b"l", session="nosuch")) == c.Failed(
        "failed session lookup: index error: UUID must be 36 characters"
    )
    assert machine(c.KV("lock", b"l", session=SESSION)) == c.Failed(f'invalid session "{SESSION}"')


def test_a_list_reports_the_newest_change_under_its_prefix_tombstones_included() -> None:
    machine = Machine()
    machine(c.KV("set", b"p/a", b"1"))
    machine(c.KV("set", b"p/b", b"1"))
    machine(c.KV("set", b"other", b"1"))
    assert kv.list_prefix(machine.txn, b"p/").index == 11
    machine(c.KV("delete", b"p/a"))
    assert kv.list_prefix(machine.txn, b"p/").index == 13
    assert kv.list_prefix(machine.txn, b"").index == 13
    machine(c.TombstoneReap(13))
    assert kv.list_prefix(machine.txn, b"p/").index == 11


def test_a_recursive_delete_leaves_one_tombstone_that_is_not_under_the_longer_prefix() -> None:
    machine = Machine()
    machine(c.KV("set", b"p/a", b"1"))
    machine(c.KV("delete-tree", b"p"))
    assert machine.topics == {"kv-prefix:p"}
    assert kv.list_prefix(machine.txn, b"p").index == 11
    machine(c.KV("set", b"q", b"1"))
    assert kv.list_prefix(machine.txn, b"p/").index == 12, "nothing there: the table's index"
    assert kv.get(machine.txn, b"p/a").index == 12


def test_names_are_cut_after_the_separator() -> None:
    machine = Machine()
    for key in (b"r/a", b"r/a/x", b"r/a/y/z", b"r/b"):
        machine(c.KV("set", key))
    assert kv.key_names(machine.txn, b"r/", b"/").value == [b"r/a", b"r/a/", b"r/b"]
    assert kv.key_names(machine.txn, b"r", b"/").value == [b"r/"]
    assert kv.key_names(machine.txn, b"r/a").value == [b"r/a", b"r/a/x", b"r/a/y/z"]


def test_a_cut_name_is_shown_if_a_key_behind_it_is_readable() -> None:
    machine = Machine()
    for key in (b"a/b", b"a/c", b"d/e"):
        machine(c.KV("set", key, b""))
    rights = RuleAuthorizer(merge([parse('key "a/b" { policy = "read" } key "d/" { policy = "read" }')]), DENY)
    names = kv.key_names(machine.txn, b"", b"/", rights)
    assert (names.value, names.index) == ([b"a/"], 12)


def test_a_key_is_rendered_as_go_writes_json() -> None:
    machine = Machine()
    machine(c.KV("set", "x<y\u2028\b".encode() + b"\xff\xc3", b"v", flags=1 << 63))
    pairs = kv.list_prefix(machine.txn, b"").value
    assert render.kv_entries(pairs) == (
        b'[{"LockIndex":0,"Key":"x\\u003cy\\u2028\\u0008\xef\xbf\xbd\xef\xbf\xbd","Flags":9223372036854775808,'
        b'"Value":"dg==","CreateIndex":10,"ModifyIndex":10}]'
    )
