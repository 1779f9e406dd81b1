"""Every series that the agent has, by the daemon that counts it (names of Consul 1.7: telemetry documentation).

The set is fixed: all series of a daemon exist from its start until its end, so that a dashboard or an alert never meets
a series that is not there yet. A part in angle brackets stands for what is known later (a peer, a label's worth of
name); such families have a series for each value seen. Names have no prefix here: see `naming.full_name`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from lictor.telemetry import known_values

NODE = "node"
"""The label that holds the node's own name."""
_OPEN_PART = re.compile(r"<[^>]+>")


class Kind(Enum):
    """How a series is kept. A timer is a sample of milliseconds."""

    COUNTER = "counter"
    GAUGE = "gauge"
    TIMER = "timer"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class Description:
    """One series or family; `daemon` is "" for those that every daemon has.

    In the tables `{node}` behind a name says that its series carries the node's name as a label, `{op}` and others
    that there is one series for each value of such a label.
    """

    name: str
    kind: Kind
    daemon: str
    about: str
    label: str = ""

    @property
    def is_family(self) -> bool:
        """Whether the name has a part that is only known later."""
        return "<" in self.name

    @property
    def is_open(self) -> bool:
        """Whether some of its series are only known later."""
        return (self.is_family and self.name not in known_values.PARTS) or (
            self.label not in ("", NODE) and self.name not in known_values.OPERATIONS
        )

    def series(self, node_name: str) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
        """Open part ("" without one) and labels of each series; nothing where they are only known later."""
        if self.is_open:
            return
        values = (node_name,) if self.label == NODE else known_values.OPERATIONS.get(self.name, ())
        for part in known_values.PARTS.get(self.name, ("",)):
            if not self.label:
                yield part, ()
            for value in values:
                yield part, ((self.label, value),)

    def named(self, part: str) -> str:
        """The name with its open part filled in."""
        return _OPEN_PART.sub(part, self.name)


_EVERY = """
gauge runtime.alloc_bytes               bytes of memory in use, files' pages not counted
gauge runtime.free_count                objects freed by the cycle collector
gauge runtime.heap_objects              blocks of memory held by objects
gauge runtime.malloc_count              objects made and not freed at once: held blocks and those the collector freed
gauge runtime.num_goroutines            asyncio tasks and threads
gauge runtime.sys_bytes                 bytes of memory set aside for data
gauge runtime.total_gc_pause_ns         time that the cycle collector stopped everything
gauge runtime.total_gc_runs             runs of the cycle collector
sample runtime.gc_pause_ns              pause of one run of the cycle collector
"""

_RAFTD = """
gauge autopilot.failure_tolerance       voters that may fail before the quorum is lost
gauge autopilot.healthy                 1 while all servers are healthy
gauge catalog.checks.critical           checks that are critical, as this server knows them
gauge catalog.checks.warning            checks that warn, as this server knows them
timer fsm.acl{op}                       applying changes of tokens of the old kind
timer fsm.acl.authmethod{op}            applying changes of auth methods
timer fsm.acl.bindingrule{op}           applying changes of binding rules
timer fsm.acl.policy{op}                applying changes of policies
timer fsm.acl.role{op}                  applying changes of roles
timer fsm.acl.token{op}                 applying changes of tokens
timer fsm.autopilot                     applying changes of autopilot's configuration
timer fsm.ca{op}                        applying changes of the certificate authority
timer fsm.ca.leaf{op}                   drawing serial numbers of certificates
timer fsm.config_entry.<kind>{op}       applying changes of configuration entries
timer fsm.coordinate.batch-update       applying network coordinates
timer fsm.deregister                    applying deregistrations
timer fsm.intention{op}                 applying changes of intentions
timer fsm.kvs{op}                       applying changes of keys
timer fsm.persist                       writing snapshots
timer fsm.prepared-query{op}            applying changes of prepared queries
timer fsm.register                      applying registrations
timer fsm.session{op}                   applying changes of sessions
timer fsm.tombstone{op}                 reaping tombstones
timer fsm.txn                           applying transactions
timer leader.barrier                    from leading to having applied everything committed before
timer leader.fetchRemoteACLs            replication: fetching the primary datacenter's tokens of the old kind
timer leader.reapTombstones             one removal of old tombstones
timer leader.reconcile                  one comparison of all members with the catalog
timer leader.reconcileMember            one member's comparison with the catalog
timer leader.replicateACLs              replication: one round for tokens of the old kind
timer leader.replication.<replicator>.apply  replication: storing what was fetched
timer leader.replication.<replicator>.fetch  replication: asking the primary datacenter
timer leader.updateLocalACLs            replication: storing tokens of the old kind
gauge raft.applied_index                index of the newest entry applied
counter raft.apply                      commands given to the log
counter raft.barrier                    barriers written by a new leader
timer raft.candidate.electSelf          asking the others for their votes
gauge raft.commitNumLogs                entries applied in the last batch
timer raft.commitTime                   from proposing a command to having it applied
timer raft.compactLogs                  cutting the log behind a snapshot
timer raft.fsm.apply                    applying one command (a batch's mean)
timer raft.fsm.applyBatch               applying one batch
sample raft.fsm.applyBatchNum           entries in a batch
timer raft.fsm.enqueue                  committed entries waiting to be applied
timer raft.fsm.restore                  replacing the state by a snapshot
timer raft.fsm.snapshot                 copying the state for a snapshot
timer raft.fsm.store_config             storing a change of servers
gauge raft.last_index                   index of the newest entry of the log
gauge raft.leader.known                 1 while this server leads or knows who does
gauge raft.leading                      1 while this server leads
timer raft.leader.dispatchLog           writing entries to the leader's own log
gauge raft.leader.dispatchNumLogs       entries in the last write to the leader's log
sample raft.leader.lastContact          milliseconds since the leader heard from its lagging voters
counter raft.replication.appendEntries.logs.<peer>  entries sent to a server
timer raft.replication.appendEntries.rpc.<peer>     a server's answer to entries
timer raft.replication.heartbeat.<peer>             a server's answer to a heartbeat
timer raft.replication.installSnapshot.<peer>       sending a snapshot to a server
counter raft.restore                    snapshots taken over
timer raft.restoreUserSnapshot          restoring an archive
timer raft.rpc.appendEntries            taking entries of the leader
timer raft.rpc.appendEntries.processLogs  handing over what those entries commit
timer raft.rpc.appendEntries.storeLogs  writing entries of the leader to the log
timer raft.rpc.installSnapshot          taking a part of a snapshot
timer raft.rpc.processHeartbeat         taking a heartbeat
timer raft.rpc.requestVote              taking a request to vote
timer raft.snapshot.create              copying the state
timer raft.snapshot.persist             making a snapshot durable
timer raft.snapshot.takeSnapshot        taking a snapshot, as a whole
counter raft.state.candidate            times that this server became candidate
counter raft.state.follower             times that it became follower
counter raft.state.leader               times that it became leader
counter raft.transition.heartbeat_timeout       times that no leader was heard of in time
counter raft.transition.leader_lease_timeout    times that a leader lost its quorum
counter raft.verify_leader              rounds that confirm the leadership
gauge raft.writes_refused               1 while no writes are taken, because the disk is full
counter rpc.raft_handoff                connections of other servers' Raft
timer session_ttl.invalidate            ending an expired session
gauge session_ttl.active                sessions with a TTL that is watched
"""

_GOSSIPD = """
counter memberlist.degraded.probe       probes answered by nobody while this node is not well itself
counter memberlist.degraded.timeout     probe intervals that were stretched, since this node is not well itself
timer memberlist.gossip                 one round of gossip
gauge memberlist.health.score           how unwell this node believes itself to be; 0 is well
counter memberlist.msg.alive            alive messages
counter memberlist.msg.dead             dead messages
counter memberlist.msg.suspect          suspect messages
timer memberlist.probeNode              one probe, from its first packet to its outcome
timer memberlist.pushPullNode           one exchange of the full state
counter memberlist.tcp.accept           connections accepted
counter memberlist.tcp.connect          connections made
counter memberlist.tcp.sent             bytes sent over TCP
counter memberlist.udp.received         bytes received over UDP
counter memberlist.udp.sent             bytes sent over UDP
sample serf.coordinate.adjustment-ms    how far one measurement moved this node's coordinate
counter serf.coordinate.rejected        measurements that were refused
counter serf.coordinate.zero-rtt        measurements of no time at all
counter serf.events                     user events
counter serf.events.<name>              user events of one name
counter serf.member.alive               members known alive again
counter serf.member.failed              members that failed
counter serf.member.flap                members that came back soon after they failed
counter serf.member.join                members that joined
counter serf.member.leaving             members that said they leave
counter serf.member.left                members that left
counter serf.member.none                members in no known state
counter serf.member.update              members whose tags changed
sample serf.msgs.received               bytes of Serf messages received
sample serf.msgs.sent                   bytes of Serf messages sent
counter serf.queries                    queries
counter serf.queries.<name>             queries of one name
counter serf.query_acks                 acknowledgements of own queries
counter serf.query_duplicate_acks       acknowledgements that came twice
counter serf.query_duplicate_responses  answers that came twice
counter serf.query_responses            answers to own queries
sample serf.queue.Event                 user events waiting to be sent
sample serf.queue.Intent                joins and leaves waiting to be sent
sample serf.queue.Query                 queries waiting to be sent
timer serf.snapshot.appendLine          writing lines to the snapshot file
timer serf.snapshot.compact             rewriting the snapshot file
"""

_DNSD = """
timer dns.domain_query{node}            answering a question of the service domains, or for recursion
timer dns.ptr_query{node}               answering a reverse question
counter dns.stale_queries               answers from a state older than 5 s
"""

_CHECKD = """
counter acl.blocked.check.deregistration    removals of checks refused by rules
counter acl.blocked.check.registration      registrations of checks refused by rules
counter acl.blocked.node.registration       registrations of the node refused by rules
counter acl.blocked.service.deregistration  removals of services refused by rules
counter acl.blocked.service.registration    registrations of services refused by rules
"""

_CLIENT_CALLS = (
    "catalog_datacenters",
    "catalog_deregister",
    "catalog_node_service_list",
    "catalog_node_services",
    "catalog_nodes",
    "catalog_register",
    "catalog_service_nodes",
    "catalog_services",
)

_APID = """
timer acl.ResolveToken                  finding out what a token may do
timer acl.apply                         changes of tokens (old API)
timer acl.authmethod.delete             deleting an auth method
timer acl.authmethod.upsert             storing an auth method
timer acl.bindingrule.delete            deleting a binding rule
timer acl.bindingrule.upsert            storing a binding rule
timer acl.login                         logins
timer acl.logout                        logouts
timer acl.policy.delete                 deleting a policy
timer acl.policy.upsert                 storing a policy
timer acl.resolveTokenLegacy            finding out what an old token may do
timer acl.role.delete                   deleting a role
timer acl.role.upsert                   storing a role
counter acl.token.cache_hit             tokens known from a short while ago
counter acl.token.cache_miss            tokens that had to be looked up
timer acl.token.clone                   cloning a token
timer acl.token.delete                  deleting a token
timer acl.token.upsert                  storing a token
timer catalog.deregister                deregistrations in the catalog
timer catalog.register                  registrations in the catalog
counter catalog.service.not-found{service} reads of services without instances, by service
counter catalog.service.query{service}  reads of services, by service
counter catalog.service.query-tag{service} reads of services with a tag, by service and tag
counter catalog.service.query-tags{service} reads of services with several tags, by service and tags
counter client.api.catalog_connect_service_nodes{node} requests for the proxies of a service
counter client.rpc                      requests that this client agent passed to a server
counter client.rpc.exceeded             requests refused by the limit on passed requests
counter client.rpc.failed{server}       requests that a server did not answer
timer config_entry.apply                storing a configuration entry
timer config_entry.delete               deleting a configuration entry
timer config_entry.get                  reading a configuration entry
timer config_entry.list                 reading the configuration entries of a kind
timer config_entry.listAll              reading all configuration entries
timer config_entry.resolve_service_config  working out a service's central configuration
counter consul.cache.bypass             cached reads that were not answered from the cache
gauge consul.cache.entries_count        reads in the cache
counter consul.cache.evict_expired      reads that fell out of the cache
counter consul.cache.fetch_error        fetches for the cache that failed
counter consul.cache.fetch_success      fetches for the cache
counter consul.cache.<type>.fetch_error     fetches for the cache that failed, by kind of read
counter consul.cache.<type>.fetch_success   fetches for the cache, by kind of read
counter consul.cache.<type>.hit         reads answered from the cache
counter consul.cache.<type>.miss_block  reads that waited for a change of what is in the cache
counter consul.cache.<type>.miss_new    reads not in the cache yet
timer discovery_chain.get               compiling a discovery chain
counter health.service.not-found{service} health reads of services without instances, by service
counter health.service.query{service}   health reads of services, by service
counter health.service.query-tag{service} health reads of services with a tag, by service and tag
counter health.service.query-tags{service} health reads of services with several tags, by service and tags
counter http.refused_conn               connections refused because their client had too many
timer http.<route>                      answering HTTP requests, by method and route
timer intention.apply                   changes of intentions
timer kvs.apply                         changes of keys
timer prepared-query.apply              changes of prepared queries
timer prepared-query.execute            executing a prepared query
timer prepared-query.execute_remote     executing a prepared query for another datacenter
timer prepared-query.explain            explaining a prepared query
gauge proxy.<id>.conns                  connections of a built-in proxy
counter proxy.<id>.rx_bytes             bytes received by a built-in proxy
counter proxy.<id>.tx_bytes             bytes sent by a built-in proxy
counter rpc.accept_conn                 connections accepted
timer rpc.consistentRead                confirming that a read is consistent
counter rpc.cross-dc{datacenter}        requests passed to another datacenter
gauge rpc.queries_blocking              blocking queries that wait
counter rpc.query                       reads of the replicated state
counter rpc.request                     requests that others passed to this server
counter rpc.request_error               those that ended in an error
timer session.apply                     changes of sessions
timer session.renew                     renewals of sessions
timer txn.apply                         transactions that write
timer txn.read                          transactions that only read
"""


def _client_calls() -> str:
    lines = []
    for call in _CLIENT_CALLS:
        lines.append(f"counter client.api.{call}{{node}} requests to the catalog through this agent: {call}")
        lines.append(f"counter client.api.success.{call}{{node}} those that succeeded: {call}")
        lines.append(f"counter client.rpc.error.{call}{{node}} those that failed: {call}")
    return "\n".join(lines)


def _parsed(text: str, daemon: str) -> list[Description]:
    found = []
    for line in text.strip().splitlines():
        kind, named, about = line.split(maxsplit=2)
        name, _, label = named.rstrip("}").partition("{")
        found.append(Description(name, Kind(kind), daemon, about, label))
    return found


DESCRIPTIONS: dict[str, Description] = {
    description.name: description
    for text, daemon in (
        (_EVERY, ""),
        (_RAFTD, "raftd"),
        (_GOSSIPD, "gossipd"),
        (_CHECKD, "checkd"),
        (_DNSD, "dnsd"),
        (_APID + _client_calls(), "apid"),
    )
    for description in _parsed(text, daemon)
}
SERVER_ONLY = "raftd"
"""The daemon whose series a client agent does not have."""


def of_daemon(daemon: str) -> list[Description]:
    """What one daemon has: its own series and those of every daemon."""
    return [description for description in DESCRIPTIONS.values() if description.daemon in ("", daemon)]


def of_agent(server_mode: bool) -> list[Description]:
    """What all daemons of an agent have together."""
    return [description for description in DESCRIPTIONS.values() if server_mode or description.daemon != SERVER_ONLY]
