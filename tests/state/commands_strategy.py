"""Random command sequences over few names, so that they meet."""

from __future__ import annotations

from hypothesis import strategies as st

from lictor.state import commands as c
from lictor.state.rows import Check, Coordinate, Intention, Node, PreparedQuery, Service, Session

SESSIONS = [f"{number:08d}-0000-0000-0000-000000000000" for number in range(3)]
NODE_IDS = ["", "aaaaaaaa-0000-0000-0000-000000000000", "bbbbbbbb-0000-0000-0000-000000000000"]
names = st.sampled_from(["a", "b", "C"])
node_names = st.sampled_from(["n1", "n2", "N1"])
statuses = st.sampled_from(["passing", "warning", "critical", ""])
kv_keys = st.sampled_from([b"k", b"k/a", b"k/b/c", b"\xff", b"long" * 140, b"long" * 140 + b"x"])
values = st.sampled_from([None, b"", b"1", b"2"])
indexes = st.integers(0, 40)
session_ids = st.sampled_from([*SESSIONS, "", "bad"])

nodes = st.builds(Node, id=st.sampled_from(NODE_IDS), node=node_names, address=names, datacenter=st.just("dc1"))
services = st.builds(
    Service,
    node=st.just(""),
    id=names,
    service=names,
    kind=st.sampled_from(["", "connect-proxy"]),
    tags=st.sampled_from([None, ["x"]]),
    port=st.integers(0, 2),
    proxy=st.sampled_from([{}, {"DestinationServiceName": "a"}]),
    connect=st.sampled_from([{}, {"Native": True}]),
)
checks = st.builds(
    Check,
    node=node_names,
    check_id=st.sampled_from(["serfHealth", "c1", "c2"]),
    name=names,
    status=statuses,
    output=names,
    service_id=st.sampled_from(["", "a", "b"]),
)
registers = st.builds(
    c.Register,
    node=nodes,
    service=st.none() | services,
    checks=st.lists(checks, max_size=2),
    skip_node_update=st.booleans(),
)
kv = st.builds(
    c.KV,
    verb=st.sampled_from(sorted(c.KV_VERBS)),
    key=kv_keys,
    value=values,
    flags=st.integers(0, 1),
    index=indexes,
    session=session_ids,
)
txn_ops = st.one_of(
    st.builds(
        c.TxnKV,
        verb=st.sampled_from([*sorted(c.KV_VERBS), "get", "get-tree", "check-index", "check-session", "zap"]),
        key=kv_keys,
        value=values,
        index=indexes,
        session=session_ids,
    ),
    st.builds(c.TxnNode, verb=st.sampled_from(["get", "set", "cas", "delete", "delete-cas"]), node=nodes),
    st.builds(
        c.TxnService,
        verb=st.sampled_from(["get", "set", "cas", "delete", "delete-cas"]),
        node=node_names,
        service=services,
    ),
    st.builds(c.TxnCheck, verb=st.sampled_from(["get", "set", "cas", "delete", "delete-cas"]), check=checks),
)
sessions = st.builds(
    Session,
    id=st.sampled_from(SESSIONS),
    name=names,
    node=node_names,
    lock_delay_ns=st.sampled_from([0, 10**9]),
    behavior=st.sampled_from(["", "release", "delete", "odd"]),
    ttl=st.just(""),
    node_checks=st.sampled_from([None, ["serfHealth"], ["c1"]]),
)
queries = st.builds(
    PreparedQuery,
    id=st.sampled_from(SESSIONS),
    name=st.sampled_from(["", "q1", "q2", SESSIONS[0]]),
    session=st.sampled_from(["", *SESSIONS]),
    token=st.just(""),
    template=st.sampled_from([{"Type": "", "Regexp": ""}, {"Type": "name_prefix_match", "Regexp": ""}]),
    service=st.just({"Service": "a"}),
    dns_ttl=st.just(""),
)
intentions = st.builds(
    Intention,
    id=st.sampled_from(SESSIONS),
    description=names,
    source_ns=st.just("default"),
    source_name=st.sampled_from(["a", "*"]),
    destination_ns=st.just("default"),
    destination_name=st.sampled_from(["a", "b"]),
    source_type=st.just("consul"),
    action=st.sampled_from(["allow", "deny"]),
    meta=st.none(),
    precedence=st.just(0),
    created_at_ns=st.just(1),
    updated_at_ns=st.just(2),
)
coordinates = st.builds(
    Coordinate,
    node=node_names,
    segment=st.just(""),
    vec=st.just([0.0] * 8),
    error=st.just(1.5),
    adjustment=st.just(0.0),
    height=st.just(0.00001),
)
commands = st.one_of(
    registers,
    registers,
    kv,
    kv,
    st.builds(
        c.Deregister, node=node_names, service_id=st.sampled_from(["", "a"]), check_id=st.sampled_from(["", "c1"])
    ),
    st.builds(c.SessionCreate, session=sessions),
    st.builds(c.SessionDestroy, session_id=st.sampled_from(SESSIONS)),
    st.builds(c.Txn, ops=st.lists(txn_ops, min_size=1, max_size=4)),
    st.builds(c.QuerySet, query=queries),
    st.builds(c.QueryDelete, query_id=st.sampled_from(SESSIONS)),
    st.builds(c.IntentionSet, intention=intentions),
    st.builds(c.IntentionDelete, intention_id=st.sampled_from(SESSIONS)),
    st.builds(
        c.IntentionReplicate,
        deletes=st.lists(st.sampled_from(SESSIONS), max_size=2),
        intentions=st.lists(intentions, max_size=3),
    ),
    st.builds(c.CoordinateBatch, coordinates=st.lists(coordinates, max_size=2)),
    st.builds(c.TombstoneReap, index=indexes),
)
sequences = st.lists(commands, min_size=1, max_size=25)
