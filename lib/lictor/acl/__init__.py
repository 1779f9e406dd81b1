"""Access control: who may read and write what."""

from lictor.acl.authorizer import ALLOW_ALL, AllowAll, Authorizer

__all__ = ["ALLOW_ALL", "AllowAll", "Authorizer"]
