"""lictor.v1.Gossip: the node's other daemons ask and watch the pools."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from gossipd.core.coordinate import Coordinate
from gossipd.core.effects import MemberChanged
from gossipd.core.errors import KeyRefused, NoSuchMember, PoolError
from gossipd.core.member import Member, MemberStatus
from gossipd.core.messages import UserEvent
from gossipd.core.node import VERSION_COUNT
from gossipd.driver import PoolDriver
from gossipd.feeds import Feed, SubscriberTooSlow
from gossipd.key_queries import KeyResult, ask_keys, local_keys
from gossipd.node import GossipNode
from gossipd.wire.errors import ProtocolError
from lictor.pb.lictor.v1 import gossip_pb2 as pb
from lictor.pb.lictor.v1 import gossip_pb2_grpc

FULL_NAME = "lictor.v1.Gossip"
MAX_RELAY_FACTOR = 5
NO_VERSIONS = bytes(VERSION_COUNT)

Context = grpc.aio.ServicerContext[Any, Any]

_OPERATIONS = {
    pb.KeyringRequest.OPERATION_LIST: "list-keys",
    pb.KeyringRequest.OPERATION_INSTALL: "install-key",
    pb.KeyringRequest.OPERATION_USE: "use-key",
    pb.KeyringRequest.OPERATION_REMOVE: "remove-key",
}


def member_message(member: Member) -> pb.Member:
    """A member as the contract shows it."""
    node = member.node
    versions = node.versions if len(node.versions) == VERSION_COUNT else NO_VERSIONS
    status = member.status if member.status is not MemberStatus.NONE else pb.MEMBER_STATUS_UNSPECIFIED
    return pb.Member(
        name=node.name,
        address=node.host,
        port=node.port,
        tags=member.tags,
        status=int(status),  # type: ignore[arg-type]
        protocol_min=versions[0],
        protocol_max=versions[1],
        protocol_cur=versions[2],
        delegate_min=versions[3],
        delegate_max=versions[4],
        delegate_cur=versions[5],
    )


def coordinate_message(node: str, coordinate: Coordinate) -> pb.NodeCoordinate:
    return pb.NodeCoordinate(
        node=node,
        coordinate=pb.Coordinate(
            vec=coordinate.vector_s,
            error=coordinate.error,
            adjustment=coordinate.adjustment_s,
            height=coordinate.height_s,
        ),
    )


class GossipService(gossip_pb2_grpc.GossipServicer):
    """Answers for one GossipNode."""

    def __init__(self, node: GossipNode) -> None:
        self._node = node
        self._user_events: Feed[UserEvent] = Feed()
        self._changes: dict[PoolDriver, Feed[MemberChanged]] = {}
        for driver in (node.lan, node.wan):
            if driver is not None:
                feed: Feed[MemberChanged] = Feed()
                self._changes[driver] = feed
                driver.member_listeners.append(feed.publish)
        node.lan.event_listeners.append(self._user_events.publish)

    async def _pool(self, pool: int, context: Context) -> PoolDriver:
        if pool in (pb.POOL_LAN, pb.POOL_UNSPECIFIED):
            return self._node.lan
        if pool == pb.POOL_WAN and self._node.wan is not None:
            return self._node.wan
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "Must be a server to join WAN cluster")
        raise AssertionError("abort always raises")

    async def Members(self, request: pb.MembersRequest, context: Context) -> pb.MembersResponse:
        driver = await self._pool(request.pool, context)
        members = sorted(driver.members(), key=lambda member: member.name)
        return pb.MembersResponse(members=map(member_message, members), local_name=driver.setup.config.name)

    async def Join(self, request: pb.JoinRequest, context: Context) -> pb.JoinResponse:
        driver = await self._pool(request.pool, context)
        join = self._node.join_lan if driver is self._node.lan else self._node.join_wan
        contacted, errors = await join(list(request.addresses))
        return pb.JoinResponse(contacted=contacted, errors=errors)

    async def Leave(self, request: pb.LeaveRequest, context: Context) -> pb.LeaveResponse:
        await self._node.leave()
        return pb.LeaveResponse()

    async def ForceLeave(self, request: pb.ForceLeaveRequest, context: Context) -> pb.ForceLeaveResponse:
        try:
            await self._node.force_leave(request.node, request.prune)
        except NoSuchMember as error:
            return pb.ForceLeaveResponse(error=str(error))
        return pb.ForceLeaveResponse()

    async def MemberEvents(self, request: pb.MemberEventsRequest, context: Context) -> AsyncIterator[pb.MemberEvent]:
        driver = await self._pool(request.pool, context)
        # No await between the two: nothing is lost or told twice.
        subscription = self._changes[driver].subscribe()
        present = driver.members()
        try:
            yield pb.MemberEvent(kind=pb.MemberEvent.KIND_SNAPSHOT, members=map(member_message, present))
            async for change in subscription.items():
                yield pb.MemberEvent(
                    kind=int(change.kind),  # type: ignore[arg-type]
                    members=(member_message(change.member),),
                )
        except SubscriberTooSlow as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        finally:
            subscription.close()

    async def FireEvent(self, request: pb.FireEventRequest, context: Context) -> pb.FireEventResponse:
        try:
            self._node.lan.fire_event(request.name, request.payload, request.coalesce)
        except PoolError as error:
            return pb.FireEventResponse(error=str(error))
        return pb.FireEventResponse()

    async def UserEvents(self, request: pb.UserEventsRequest, context: Context) -> AsyncIterator[pb.UserEvent]:
        subscription = self._user_events.subscribe()
        try:
            # Headers at once: the caller knows that from here on nothing is missed.
            await context.send_initial_metadata(())
            async for event in subscription.items():
                yield pb.UserEvent(
                    name=event.name,
                    payload=event.payload,
                    lamport_time=event.lamport_time,
                    coalesce=event.coalesce,
                )
        except SubscriberTooSlow as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        finally:
            subscription.close()

    async def SetTags(self, request: pb.SetTagsRequest, context: Context) -> pb.SetTagsResponse:
        try:
            self._node.set_tags(dict(request.set), list(request.remove))
        except ProtocolError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return pb.SetTagsResponse()

    async def Coordinates(self, request: pb.CoordinatesRequest, context: Context) -> pb.CoordinatesResponse:
        driver = await self._pool(request.pool, context)
        if not driver.setup.config.coordinates:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "Coordinates are disabled")
        serf = driver.pool.serf
        nodes = [coordinate_message(driver.setup.config.name, serf.coordinates.coordinate)]
        if not request.local_only:
            nodes += [coordinate_message(name, peer) for name, peer in sorted(serf.peer_coordinates.items())]
        return pb.CoordinatesResponse(nodes=nodes)

    async def Keyring(self, request: pb.KeyringRequest, context: Context) -> pb.KeyringResponse:
        operation = _OPERATIONS.get(request.operation)
        if operation is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "unknown keyring operation")
            raise AssertionError("abort always raises")
        if request.relay_factor > MAX_RELAY_FACTOR:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"Relay factor must be in range: [0, {MAX_RELAY_FACTOR}]"
            )
        # WAN first, as Consul lists them; they are asked at the same time.
        pools = [(pb.POOL_WAN, None if request.lan_only else self._node.wan), (pb.POOL_LAN, self._node.lan)]
        results = await asyncio.gather(
            *(self._keyring_of(number, driver, operation, request) for number, driver in pools if driver is not None)
        )
        return pb.KeyringResponse(pools=results)

    async def _keyring_of(
        self, number: pb.Pool, driver: PoolDriver, operation: str, request: pb.KeyringRequest
    ) -> pb.KeyringPoolResult:
        try:
            if request.local_only and operation == "list-keys":
                result = local_keys(driver)
            else:
                result = await ask_keys(driver, operation, request.key, request.relay_factor)
        except (KeyRefused, PoolError) as error:
            result = KeyResult(error=str(error))
        return pb.KeyringPoolResult(
            pool=number,
            keys=result.keys,
            node_count=result.node_count,
            answer_count=result.answer_count,
            error_count=result.error_count,
            messages=result.messages,
            error=result.error,
        )

    async def Stats(self, request: pb.StatsRequest, context: Context) -> pb.StatsResponse:
        wan = self._node.wan
        return pb.StatsResponse(lan=self._node.lan.stats(), wan=wan.stats() if wan is not None else {})
