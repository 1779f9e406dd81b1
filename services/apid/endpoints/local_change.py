"""Changes of this node's services and checks under access control: checkd says what rights one takes, the request's
token whether it has them.
"""

from __future__ import annotations

from typing import Any

from apid.core.errors import PERMISSION_DENIED, Forbidden, HttpError, RootDenied
from apid.core.message import Request
from apid.node.bearer import bearing
from apid.node.context import Node
from lictor.acl import Authorizer, enforced
from lictor.pb.lictor.v1 import agent_pb2


async def make_change(node: Node, request: Request, method: str, message: Any) -> None:
    """Has checkd make the change. Errors: HttpError, Forbidden when a right is missing."""
    try:
        authorizer = node.authorizer(request)
    except (Forbidden, RootDenied) as refused:
        # What is wrong with a definition may come before.
        message.access.unknown = str(refused)
        try:
            await node.local.call(method, message)
        except HttpError as error:
            if str(error) != str(refused):
                raise
        raise refused from None
    if enforced(authorizer):
        message.access.everything = authorizer.allows_all
        message.access.SetInParent()
    while needed := await node.local.call(method, message):
        if not all(_has(node, request, right, authorizer) for right in needed):
            raise Forbidden(PERMISSION_DENIED)
        message.access.granted.extend(needed)


def _has(node: Node, request: Request, right: agent_pb2.Right, authorizer: Authorizer) -> bool:
    if right.token:
        authorizer = node.authorizer(bearing(request, right.token))
    if right.service:
        return authorizer.service_write(right.service)
    return authorizer.node_write(node.config.node_name)
