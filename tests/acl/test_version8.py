"""`acl_enforce_version_8 = false`: what is not guarded then, and what still is."""

from lictor.acl import by_rules
from lictor.acl.defaults import DENY
from lictor.acl.enforce import RuleAuthorizer
from lictor.acl.merge import merge
from lictor.acl.rules import parse
from lictor.acl.version8 import unguarded

RIGHTS = RuleAuthorizer(merge([parse('key "a" { policy = "read" }')]), DENY)


def test_nodes_sessions_and_the_servers_are_open_and_the_rest_is_not() -> None:
    rights = unguarded(RIGHTS)
    assert rights.node_read("n") and rights.node_write("n") and rights.session_read("n") and rights.session_write("n")
    assert rights.service_read("consul") and not rights.service_read("web") and not rights.service_write("consul")
    assert rights.key_read("a") and not rights.key_write("a") and not rights.acl_read()


def test_transactions_ask_the_rules_alone() -> None:
    assert by_rules(unguarded(RIGHTS)) is RIGHTS and by_rules(RIGHTS) is RIGHTS
    assert not by_rules(unguarded(RIGHTS)).node_write("n")
