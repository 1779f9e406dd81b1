"""What an agent's own master token grants."""

from __future__ import annotations

from lictor.acl.authorizer import Authorizer
from lictor.acl.defaults import DENY
from lictor.acl.enforce import RuleAuthorizer
from lictor.acl.merge import merge
from lictor.acl.rules import READ, WRITE, Rule, Rules


def master_authorizer(node_name: str) -> Authorizer:
    """This agent's own endpoints, and reading every node: good when no server can be asked."""
    rules = Rules(exact={"agent": (Rule(node_name, WRITE),)}, prefix={"node": (Rule("", READ),)})
    return RuleAuthorizer(merge([rules]), DENY)
