"""Every operation of the API with the rights it takes: what `test_rights_matrix.py` holds agents to.

Names are those of the state that the test makes: node n1 with the services web and db, key a/b, and so on. `${ID}`
stand for IDs that it finds out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PERMISSION_DENIED = "Permission denied"


@dataclass(frozen=True, slots=True)
class Case:
    """One operation. `needs` are rules that are just enough.

    `how` it shows that they are missing: `denied` with `refusal`; `hidden`: an answer without `shows`; `open`: nobody
    needs rights; `internal`: answered to the cluster's own agents only, all others get 404.
    """

    route: str
    path: str
    how: str
    needs: str = ""
    body: Any = None
    shows: str = ""
    refusal: tuple[int, str] = (403, PERMISSION_DENIED)
    unknown: tuple[int, str] = (403, "ACL not found")
    """The answer to a token that is none."""
    tried: bool = True
    """Whether the test makes the request with the rights: not what ends the agent or waits for others."""

    @property
    def method(self) -> str:
        return self.route.partition(" ")[0]


def rule(kind: str, name: str, level: str) -> str:
    return f'{kind} "{name}" {{ policy = "{level}" }}\n'


def denied(route: str, path: str, needs: str, body: Any = None, **more: Any) -> Case:
    return Case(route, path, "denied", needs, body, **more)


def hidden(route: str, path: str, needs: str, shows: str, **more: Any) -> Case:
    return Case(route, path, "hidden", needs, shows=shows, **more)


def opened(route: str, path: str, body: Any = None) -> Case:
    return Case(route, path, "open", body=body)


def internal(route: str, path: str) -> Case:
    return Case(route, path, "internal", body={})


ACL_READ, ACL_WRITE = 'acl = "read"\n', 'acl = "write"\n'
OPERATOR_READ, OPERATOR_WRITE = 'operator = "read"\n', 'operator = "write"\n'
AGENT_READ, AGENT_WRITE = rule("agent", "n1", "read"), rule("agent", "n1", "write")
NODE_READ, NODE_WRITE = rule("node", "n1", "read"), rule("node", "n1", "write")
WEB_READ, WEB_WRITE = rule("service", "web", "read"), rule("service", "web", "write")
DB_READ, DB_WRITE = rule("service", "db", "read"), rule("service", "db", "write")
SESSION_READ, SESSION_WRITE = rule("session", "n1", "read"), rule("session", "n1", "write")
QUERY_READ, QUERY_WRITE = rule("query", "q", "read"), rule("query", "q", "write")
KEY_READ, KEY_WRITE = rule("key", "a/b", "read"), rule("key", "a/b", "write")
EVENT_READ, EVENT_WRITE = rule("event", "deploy", "read"), rule("event", "deploy", "write")
INTENTION_READ = 'service "db" { policy = "read" intentions = "read" }\n'
INTENTION_WRITE = 'service "db" { policy = "read" intentions = "write" }\n'
PLACED = NODE_READ + WEB_READ
KEYRING_DENIED = (500, "Reading keyring denied by ACLs")
KEYRING_CHANGE_DENIED = (500, "Modifying keyring denied due to ACLs")
BARE: dict[str, Any] = {"refusal": (403, ""), "unknown": (403, "")}
KEYRING: dict[str, Any] = {"refusal": KEYRING_CHANGE_DENIED, "tried": False}
NOT_TRIED: dict[str, Any] = {"tried": False}

DISK = {"Name": "disk", "TTL": "1h", "Status": "passing"}
COORDINATE = {"Node": "n1", "Coord": {"Vec": [0.0] * 8, "Error": 1.5, "Adjustment": 0, "Height": 1e-05}}
INTENTION = {"SourceName": "web", "DestinationName": "db", "Action": "allow"}
QUERY = {"Name": "q", "Service": {"Service": "web"}}
NODE = {"Node": "n1", "SkipNodeUpdate": True}
AUTHORIZE = {"Target": "db", "ClientCertURI": "spiffe://x.consul/ns/default/dc/bj/svc/web", "ClientCertSerial": "1"}

CASES = [
    *(opened(f"{method} /", "/") for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")),
    opened("GET /v1/status/leader", "/v1/status/leader"),
    opened("GET /v1/status/peers", "/v1/status/peers"),
    # Keys
    denied("GET /v1/kv/", "/v1/kv/a/b", KEY_READ),
    hidden("GET /v1/kv/", "/v1/kv/a?recurse", KEY_READ, '"a/b"'),
    hidden("GET /v1/kv/", "/v1/kv/a?keys", KEY_READ, '"a/b"'),
    denied("PUT /v1/kv/", "/v1/kv/a/b", KEY_WRITE, b"2"),
    denied("DELETE /v1/kv/", "/v1/kv/a/c?recurse", rule("key_prefix", "a/c", "write")),
    denied(
        "PUT /v1/txn",
        "/v1/txn",
        KEY_WRITE,
        [{"KV": {"Verb": "set", "Key": "a/b", "Value": "eA=="}}],
        refusal=(409, '{"Results":null,"Errors":[{"OpIndex":0,"What":"Permission denied"}]}'),
    ),
    # Catalog and health
    denied(
        "PUT /v1/catalog/register",
        "/v1/catalog/register",
        WEB_WRITE,
        {**NODE, "Service": {"ID": "web1", "Service": "web"}},
    ),
    denied(
        "PUT /v1/catalog/deregister",
        "/v1/catalog/deregister",
        NODE_WRITE,
        {"Node": "n1", "CheckID": "gone"},
        refusal=(500, "Unknown check 'gone'"),
    ),
    opened("GET /v1/catalog/datacenters", "/v1/catalog/datacenters"),
    hidden("GET /v1/catalog/nodes", "/v1/catalog/nodes", NODE_READ, '"n1"'),
    hidden("GET /v1/catalog/services", "/v1/catalog/services", WEB_READ, '"web"'),
    hidden("GET /v1/catalog/service/", "/v1/catalog/service/web", PLACED, '"web1"'),
    hidden(
        "GET /v1/catalog/connect/",
        "/v1/catalog/connect/web",
        NODE_READ + WEB_READ + rule("service", "px", "read"),
        '"px"',
    ),
    hidden("GET /v1/catalog/node/", "/v1/catalog/node/n1", NODE_READ + rule("service", "web1", "read"), '"web1"'),
    hidden("GET /v1/catalog/node-services/", "/v1/catalog/node-services/n1", PLACED, '"web1"'),
    hidden("GET /v1/health/node/", "/v1/health/node/n1", PLACED, '"service:web1"'),
    hidden("GET /v1/health/checks/", "/v1/health/checks/web", PLACED, '"service:web1"'),
    hidden("GET /v1/health/state/", "/v1/health/state/any", PLACED, '"service:web1"'),
    hidden("GET /v1/health/service/", "/v1/health/service/web", PLACED, '"web1"'),
    hidden(
        "GET /v1/health/connect/",
        "/v1/health/connect/web",
        NODE_READ + WEB_READ + rule("service", "px", "read"),
        '"px"',
    ),
    hidden("GET /v1/prometheus/targets", "/v1/prometheus/targets", PLACED, '"web"'),
    hidden("GET /v1/prometheus/targets/", "/v1/prometheus/targets/web", PLACED, '"web"'),
    hidden("GET /v1/internal/ui/nodes", "/v1/internal/ui/nodes", PLACED, '"web1"'),
    hidden("GET /v1/internal/ui/node/", "/v1/internal/ui/node/n1", PLACED, '"web1"'),
    hidden("GET /v1/internal/ui/services", "/v1/internal/ui/services", PLACED, '"web"'),
    # Sessions
    denied("PUT /v1/session/create", "/v1/session/create", SESSION_WRITE, {"NodeChecks": []}),
    denied("PUT /v1/session/renew/", "/v1/session/renew/${SESSION}", SESSION_WRITE),
    hidden("GET /v1/session/info/", "/v1/session/info/${SESSION}", SESSION_READ, "${SESSION}"),
    hidden("GET /v1/session/node/", "/v1/session/node/n1", SESSION_READ, "${SESSION}"),
    hidden("GET /v1/session/list", "/v1/session/list", SESSION_READ, "${SESSION}"),
    denied("PUT /v1/session/destroy/", "/v1/session/destroy/${OTHER_SESSION}", SESSION_WRITE),
    # The agent
    denied("GET /v1/agent/self", "/v1/agent/self", AGENT_READ),
    hidden("GET /v1/agent/members", "/v1/agent/members", NODE_READ, '"n1"'),
    hidden("GET /v1/agent/services", "/v1/agent/services", WEB_READ, '"web1"'),
    denied("GET /v1/agent/service/", "/v1/agent/service/web1", WEB_READ),
    hidden("GET /v1/agent/checks", "/v1/agent/checks", WEB_READ, '"service:web1"'),
    denied("GET /v1/agent/health/service/id/", "/v1/agent/health/service/id/web1", WEB_READ),
    denied("GET /v1/agent/health/service/name/", "/v1/agent/health/service/name/web", WEB_READ),
    denied(
        "PUT /v1/agent/service/register",
        "/v1/agent/service/register",
        WEB_WRITE + DB_WRITE,
        {"ID": "db", "Name": "web"},
    ),
    denied("PUT /v1/agent/service/deregister/", "/v1/agent/service/deregister/gone", rule("service", "gone", "write")),
    denied("PUT /v1/agent/service/maintenance/", "/v1/agent/service/maintenance/web1?enable=false", WEB_WRITE),
    denied("PUT /v1/agent/check/register", "/v1/agent/check/register", NODE_WRITE, DISK),
    denied("PUT /v1/agent/check/deregister/", "/v1/agent/check/deregister/old", NODE_WRITE),
    *(
        denied(f"PUT /v1/agent/check/{word}/", f"/v1/agent/check/{word}/service:web1", WEB_WRITE)
        for word in ("pass", "warn", "fail")
    ),
    denied("PUT /v1/agent/check/update/", "/v1/agent/check/update/service:web1", WEB_WRITE, {"Status": "passing"}),
    denied("GET /v1/agent/check/history/", "/v1/agent/check/history/service:web1", WEB_READ),
    denied("PUT /v1/agent/maintenance", "/v1/agent/maintenance?enable=false", NODE_WRITE),
    denied("PUT /v1/agent/join/", "/v1/agent/join/127.0.0.1:1", AGENT_WRITE),
    denied("PUT /v1/agent/leave", "/v1/agent/leave", AGENT_WRITE, **NOT_TRIED),
    denied("PUT /v1/agent/force-leave/", "/v1/agent/force-leave/none", OPERATOR_WRITE),
    denied("PUT /v1/agent/reload", "/v1/agent/reload", AGENT_WRITE),
    denied("PUT /v1/agent/token/", "/v1/agent/token/replication", AGENT_WRITE, {"Token": ""}),
    denied("GET /v1/agent/metrics", "/v1/agent/metrics", AGENT_READ),
    denied("GET /v1/agent/host", "/v1/agent/host", OPERATOR_READ),
    denied("GET /v1/agent/monitor", "/v1/agent/monitor?loglevel=odd", AGENT_READ),
    denied("GET /debug/pprof/", "/debug/pprof/cmdline", OPERATOR_READ, **BARE),
    opened("GET /v1/agent/connect/ca/roots", "/v1/agent/connect/ca/roots"),
    denied("GET /v1/agent/connect/ca/leaf/", "/v1/agent/connect/ca/leaf/web", WEB_WRITE),
    denied("POST /v1/agent/connect/authorize", "/v1/agent/connect/authorize", DB_WRITE, AUTHORIZE),
    # Events and coordinates
    denied("PUT /v1/event/fire/", "/v1/event/fire/deploy", EVENT_WRITE, unknown=(500, "ACL not found")),
    hidden("GET /v1/event/list", "/v1/event/list", EVENT_READ, '"deploy"'),
    opened("GET /v1/coordinate/datacenters", "/v1/coordinate/datacenters"),
    hidden("GET /v1/coordinate/nodes", "/v1/coordinate/nodes", NODE_READ, '"n1"', tried=False),
    denied("GET /v1/coordinate/node/", "/v1/coordinate/node/n1", NODE_READ),
    denied("PUT /v1/coordinate/update", "/v1/coordinate/update", NODE_WRITE, COORDINATE),
    # The operator
    denied("GET /v1/operator/raft/configuration", "/v1/operator/raft/configuration", OPERATOR_READ),
    denied("DELETE /v1/operator/raft/peer", "/v1/operator/raft/peer?id=none", OPERATOR_WRITE),
    denied("GET /v1/operator/autopilot/configuration", "/v1/operator/autopilot/configuration", OPERATOR_READ),
    denied(
        "PUT /v1/operator/autopilot/configuration", "/v1/operator/autopilot/configuration?cas=1", OPERATOR_WRITE, {}
    ),
    denied("GET /v1/operator/autopilot/health", "/v1/operator/autopilot/health", OPERATOR_READ),
    denied("GET /v1/operator/keyring", "/v1/operator/keyring", 'keyring = "read"\n', refusal=KEYRING_DENIED),
    *(
        denied(f"{method} /v1/operator/keyring", "/v1/operator/keyring", 'keyring = "write"\n', {"Key": "x"}, **KEYRING)
        for method in ("POST", "PUT", "DELETE")
    ),
    denied("GET /v1/snapshot", "/v1/snapshot", ACL_WRITE),
    denied("PUT /v1/snapshot", "/v1/snapshot", ACL_WRITE, b"no archive"),
    # Prepared queries
    hidden("GET /v1/query", "/v1/query", QUERY_READ, "${QUERY}"),
    denied("POST /v1/query", "/v1/query", rule("query", "new", "write"), {**QUERY, "Name": "new"}),
    denied("GET /v1/query/", "/v1/query/${QUERY}", QUERY_READ),
    hidden("GET /v1/query/", "/v1/query/q/execute", PLACED, '"web1"'),
    denied("GET /v1/query/", "/v1/query/q/explain", QUERY_READ),
    denied("PUT /v1/query/", "/v1/query/${QUERY}", QUERY_WRITE, QUERY),
    denied("DELETE /v1/query/", "/v1/query/${OTHER_QUERY}", rule("query", "other-q", "write")),
    opened("OPTIONS /v1/query/", "/v1/query/q"),
    # Configuration entries and Connect
    denied(
        "PUT /v1/config",
        "/v1/config",
        WEB_WRITE + DB_READ,
        {"Kind": "service-resolver", "Name": "web", "Redirect": {"Service": "db"}},
    ),
    denied("GET /v1/config/", "/v1/config/service-defaults/web", WEB_READ),
    hidden("GET /v1/config/", "/v1/config/service-defaults", WEB_READ, '"web"'),
    opened("GET /v1/config/", "/v1/config/proxy-defaults/global"),
    denied("DELETE /v1/config/", "/v1/config/proxy-defaults/global", OPERATOR_WRITE),
    hidden("GET /v1/connect/intentions", "/v1/connect/intentions", INTENTION_READ, "${INTENTION}"),
    denied(
        "POST /v1/connect/intentions", "/v1/connect/intentions", INTENTION_WRITE, {**INTENTION, "SourceName": "new"}
    ),
    denied("GET /v1/connect/intentions/match", "/v1/connect/intentions/match?by=source&name=db", INTENTION_READ),
    denied("GET /v1/connect/intentions/check", "/v1/connect/intentions/check?source=web&destination=db", DB_READ),
    denied("GET /v1/connect/intentions/", "/v1/connect/intentions/${INTENTION}", INTENTION_READ),
    denied("PUT /v1/connect/intentions/", "/v1/connect/intentions/${INTENTION}", INTENTION_WRITE, INTENTION),
    denied("DELETE /v1/connect/intentions/", "/v1/connect/intentions/${OTHER_INTENTION}", INTENTION_WRITE),
    opened("GET /v1/connect/ca/roots", "/v1/connect/ca/roots"),
    denied("GET /v1/connect/ca/configuration", "/v1/connect/ca/configuration", OPERATOR_READ),
    denied("PUT /v1/connect/ca/configuration", "/v1/connect/ca/configuration", OPERATOR_WRITE, {"Provider": "none"}),
    *(denied(f"{method} /v1/discovery-chain/", "/v1/discovery-chain/web", WEB_READ, {}) for method in ("GET", "POST")),
    # Access control itself: more in test_acl_endpoints.py
    opened("PUT /v1/acl/bootstrap", "/v1/acl/bootstrap"),
    denied("PUT /v1/acl/create", "/v1/acl/create", ACL_WRITE, {"Name": "x", "Type": "client"}),
    denied("PUT /v1/acl/update", "/v1/acl/update", ACL_WRITE, {"ID": "x", "Type": "client"}, **NOT_TRIED),
    denied("PUT /v1/acl/destroy/", "/v1/acl/destroy/${NONE}", ACL_WRITE),
    opened("GET /v1/acl/info/", "/v1/acl/info/${NONE}"),
    denied("PUT /v1/acl/clone/", "/v1/acl/clone/${NONE}", ACL_WRITE, unknown=(403, PERMISSION_DENIED), tried=False),
    denied("GET /v1/acl/list", "/v1/acl/list", ACL_WRITE),
    opened("POST /v1/acl/login", "/v1/acl/login", {"AuthMethod": "none", "BearerToken": "x"}),
    opened("POST /v1/acl/logout", "/v1/acl/logout"),
    opened("GET /v1/acl/replication", "/v1/acl/replication"),
    *(
        denied(f"GET /v1/acl/{kind}", f"/v1/acl/{kind}", ACL_READ)
        for kind in ("policies", "roles", "binding-rules", "auth-methods", "tokens")
    ),
    denied("PUT /v1/acl/policy", "/v1/acl/policy", ACL_WRITE, {"Name": "made"}),
    denied("PUT /v1/acl/role", "/v1/acl/role", ACL_WRITE, {"Name": "made"}),
    denied("PUT /v1/acl/token", "/v1/acl/token", ACL_WRITE, {}),
    denied("PUT /v1/acl/auth-method", "/v1/acl/auth-method", ACL_WRITE, {"Name": "made", "Type": "none"}),
    denied("PUT /v1/acl/binding-rule", "/v1/acl/binding-rule", ACL_WRITE, {"AuthMethod": "none"}),
    denied("GET /v1/acl/role/name/", "/v1/acl/role/name/none", ACL_READ),
    *(
        denied(
            f"{method} /v1/acl/{kind}/",
            f"/v1/acl/{kind}/{name}",
            ACL_READ if method == "GET" else ACL_WRITE,
            body,
            **NOT_TRIED,
        )
        for kind, name in (
            ("policy", "${NONE}"),
            ("role", "${NONE}"),
            ("token", "${NONE}"),
            ("binding-rule", "${NONE}"),
            ("auth-method", "none"),
        )
        for method, body in (("GET", None), ("PUT", {}), ("DELETE", None))
    ),
    denied("POST /v1/acl/rules/translate", "/v1/acl/rules/translate", ACL_READ, b'key "" { policy = "read" }'),
    denied("GET /v1/acl/rules/translate/", "/v1/acl/rules/translate/${NONE}", ACL_READ, **NOT_TRIED),
    opened("GET /v1/acl/token/self", "/v1/acl/token/self"),
    opened("POST /v1/internal/acl/authorize", "/v1/internal/acl/authorize", []),
    # Ours
    hidden("GET /v1/watch", "/v1/watch?topic=health/web", PLACED, '"web1"'),
    internal("POST /v1/internal/keyring", "/v1/internal/keyring"),
    internal("POST /v1/internal/query/execute", "/v1/internal/query/execute"),
    internal("POST /v1/internal/connect/ca/sign", "/v1/internal/connect/ca/sign"),
    internal("GET /v1/internal/acl/resolve", "/v1/internal/acl/resolve"),
    internal("POST /v1/internal/auto_encrypt/sign", "/v1/internal/auto_encrypt/sign"),
    *(
        internal(f"{method} {route}", f"{route}policies")
        for method in ("GET", "POST")
        for route in ("/v1/internal/replication/", "/v1/agent/primary/")
    ),
]
