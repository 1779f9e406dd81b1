"""Access control: who may read and write what.

From text to answer: `rules` (a policy's text), `merge` (several policies), `enforce` (what they answer), `resolve`
(from a token to all of that). `defaults` is what holds where no rule speaks, `builtin` the records every cluster has,
`identities` and `agent` rights that come with a name, `hashes` what replication compares. Only the authorizer's shape
is imported here: an agent without access control needs nothing else. See docs/access-control.md.
"""

from lictor.acl.authorizer import ALLOW_ALL, AllowAll, Authorizer, by_rules, enforced

__all__ = ["ALLOW_ALL", "AllowAll", "Authorizer", "by_rules", "enforced"]
