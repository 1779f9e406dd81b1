"""Requests that touch every operation of the API, good ones and bad ones, as lines: method, target, and a JSON body.

`${sid}`, `${qid}`, `${iid}` are what earlier lines made. `lane_cases` turns them into steps.
"""

from __future__ import annotations

import json
from typing import Any

REQUESTS = """
GET /
HEAD /
GET /ui/
GET /ui/no-such-page
HEAD /ui/
GET /robots.txt
HEAD /robots.txt
GET /docs
GET /openapi.json
GET /v1/nowhere
GET /v1/kv
GET /v1/kv/a//b
GET /v1/status/leader
POST /v1/status/leader
OPTIONS /v1/status/leader
GET /v1/status/leader?dc=mars
GET /v1/status/peers?pretty
PUT /v1/kv/
PUT /v1/kv/${run}/a?flags=7 "text"
PUT /v1/kv/${run}/a?cas=0 "text"
PUT /v1/kv/${run}/a?cas=x
PUT /v1/kv/${run}/b%20c/%C3%A9 {"a":1}
GET /v1/kv/${run}/a
GET /v1/kv/${run}/a?raw
GET /v1/kv/${run}/a?pretty
GET /v1/kv/${run}/none
GET /v1/kv/${run}?recurse
GET /v1/kv/${run}?keys&separator=/
GET /v1/kv/${run}/a?stale&consistent
GET /v1/kv/${run}/a?index=x
GET /v1/kv/${run}/a?wait=x
GET /v1/kv/${run}/a?consistent
GET /v1/kv/${run}/a?stale
DELETE /v1/kv/${run}/a?cas=x
DELETE /v1/kv/${run}?recurse
PUT /v1/session/create {"Name":"s","TTL":"60s"}
PUT /v1/session/create {"TTL":"1s"}
PUT /v1/session/create {"Nonsense":1}
PUT /v1/kv/${run}/lock?acquire=${sid}
GET /v1/kv/${run}/lock
PUT /v1/kv/${run}/lock?release=${sid}
GET /v1/session/info/${sid}
GET /v1/session/info/x
GET /v1/session/node/n1
GET /v1/session/list
PUT /v1/session/renew/${sid}
PUT /v1/session/renew/00000000-0000-0000-0000-000000000000
PUT /v1/session/destroy/${sid}
PUT /v1/txn [{"KV":{"Verb":"set","Key":"${run}/t","Value":"YQ=="}},{"KV":{"Verb":"get","Key":"${run}/t"}}]
PUT /v1/txn [{"KV":{"Verb":"check-index","Key":"${run}/t","Index":1}}]
PUT /v1/txn {"a":
PUT /v1/catalog/register {"Node":"${run}","Address":"10.9.9.9","Service":{"Service":"${run}","Tags":["x"]}}
PUT /v1/catalog/register {"Node":"${run}","Address":"10.9.9.9","Check":{"Name":"c","Status":"passing"}}
PUT /v1/catalog/register {"Node":1}
PUT /v1/catalog/register {}
GET /v1/catalog/datacenters
GET /v1/catalog/nodes?near=_agent
GET /v1/catalog/nodes?filter=Node==${run}
GET /v1/catalog/nodes?filter=Nothing==
GET /v1/catalog/services
GET /v1/catalog/services?cached
GET /v1/catalog/service/${run}
GET /v1/catalog/service/${run}?tag=y
GET /v1/catalog/service/
GET /v1/catalog/connect/${run}
GET /v1/catalog/node/${run}
GET /v1/catalog/node/none
GET /v1/catalog/node-services/${run}
GET /v1/health/node/${run}
GET /v1/health/checks/${run}
GET /v1/health/state/any
GET /v1/health/state/sleepy
GET /v1/health/service/${run}?passing
GET /v1/health/service/${run}?passing=x
GET /v1/health/connect/${run}
GET /v1/prometheus/targets?filter=Service.Service==${run}
GET /v1/prometheus/targets?passing=x
GET /v1/prometheus/targets/${run}?tag=x
GET /v1/prometheus/targets/none
GET /v1/internal/ui/nodes
GET /v1/internal/ui/node/${run}
GET /v1/internal/ui/services
PUT /v1/catalog/deregister {"Node":"${run}"}
PUT /v1/catalog/deregister {}
GET /v1/agent/self
GET /v1/agent/members
GET /v1/agent/members?wan=1
GET /v1/agent/metrics?format=prometheus
GET /v1/agent/metrics?format=x
GET /v1/agent/host
GET /v1/agent/monitor?loglevel=x
PUT /v1/agent/service/register {"Name":"${run}","Port":1,"Check":{"TTL":"60s"}}
PUT /v1/agent/service/register {"Name":1}
GET /v1/agent/service/register
GET /v1/agent/service/maintenance/x
DELETE /v1/catalog/service/x
PUT /v1/agent/check/register {"Name":"${run}-c","TTL":"60s"}
PUT /v1/agent/check/register {}
GET /v1/agent/services
GET /v1/agent/checks
GET /v1/agent/service/${run}
GET /v1/agent/service/none
GET /v1/agent/health/service/id/${run}
GET /v1/agent/health/service/name/${run}?format=text
PUT /v1/agent/check/pass/${run}-c?note=fine
PUT /v1/agent/check/warn/${run}-c
PUT /v1/agent/check/fail/${run}-c
PUT /v1/agent/check/pass/none
PUT /v1/agent/check/update/${run}-c {"Status":"passing","Output":"o"}
PUT /v1/agent/check/update/${run}-c {"Status":"odd"}
GET /v1/agent/check/history/${run}-c/none
PUT /v1/agent/service/maintenance/${run}?enable=true&reason=r
PUT /v1/agent/service/maintenance/${run}
PUT /v1/agent/maintenance?enable=x
PUT /v1/agent/service/deregister/${run}
PUT /v1/agent/check/deregister/${run}-c
PUT /v1/agent/join/127.0.0.1:1
PUT /v1/agent/force-leave/none
PUT /v1/agent/token/default {"Token":"x"}
PUT /v1/agent/reload
PUT /v1/event/fire/${run}?node=n1 "payload"
PUT /v1/event/fire/
GET /v1/event/list?name=${run}
GET /v1/coordinate/datacenters
GET /v1/coordinate/nodes
GET /v1/coordinate/node/none
PUT /v1/coordinate/update {"Node":"n1"}
GET /v1/operator/raft/configuration
DELETE /v1/operator/raft/peer
GET /v1/operator/autopilot/configuration
PUT /v1/operator/autopilot/configuration?cas=1 {"CleanupDeadServers":true}
GET /v1/operator/autopilot/health
GET /v1/operator/keyring
POST /v1/operator/keyring {"Key":"x"}
PUT /v1/operator/keyring {"Key":"x"}
DELETE /v1/operator/keyring {"Key":"x"}
GET /v1/operator/keyring?local-only=x
PUT /v1/operator/keyring?local-only=true {"Key":"x"}
POST /v1/internal/keyring {"Method":"GET"}
POST /v1/internal/keyring {}
GET /v1/snapshot
PUT /v1/snapshot "no archive"
POST /v1/query {"Name":"${run}","Service":{"Service":"consul"}}
POST /v1/query {"Name":1}
GET /v1/query
GET /v1/query/${qid}
PUT /v1/query/${qid} {"Name":"${run}","Service":{"Service":"consul"}}
GET /v1/query/${run}/execute
GET /v1/query/${run}/explain
GET /v1/query/none
OPTIONS /v1/query/x
DELETE /v1/query/${qid}
POST /v1/internal/query/execute {}
PUT /v1/config {"Kind":"service-defaults","Name":"${run}","Protocol":"http"}
PUT /v1/config {"Kind":"odd"}
GET /v1/config/service-defaults
GET /v1/config/service-defaults/${run}
GET /v1/discovery-chain/${run}
POST /v1/discovery-chain/${run} {"OverrideProtocol":"http"}
DELETE /v1/config/service-defaults/${run}
POST /v1/connect/intentions {"SourceName":"${run}","DestinationName":"b","Action":"allow"}
GET /v1/connect/intentions
GET /v1/connect/intentions/match?by=source&name=${run}
GET /v1/connect/intentions/check?source=${run}&destination=b
GET /v1/connect/intentions/${iid}
PUT /v1/connect/intentions/${iid} {"SourceName":"${run}","DestinationName":"b","Action":"deny"}
DELETE /v1/connect/intentions/${iid}
GET /v1/connect/ca/roots
GET /v1/connect/ca/configuration
PUT /v1/connect/ca/configuration {"Provider":"odd"}
POST /v1/internal/connect/ca/sign {}
GET /v1/agent/connect/ca/roots
GET /v1/agent/connect/ca/leaf/${run}
POST /v1/agent/connect/authorize {"Target":"b","ClientCertURI":"spiffe://x"}
GET /v1/watch?topic=odd
GET /debug/pprof/odd
PUT /v1/acl/bootstrap
PUT /v1/acl/create {}
PUT /v1/acl/update {}
PUT /v1/acl/destroy/x
GET /v1/acl/info/x
PUT /v1/acl/clone/x
GET /v1/acl/list
POST /v1/acl/login {}
POST /v1/acl/logout
GET /v1/acl/replication
GET /v1/acl/policies
PUT /v1/acl/policy {}
GET /v1/acl/policy/x
PUT /v1/acl/policy/x {}
DELETE /v1/acl/policy/x
GET /v1/acl/roles
PUT /v1/acl/role {}
GET /v1/acl/role/name/x
GET /v1/acl/role/x
PUT /v1/acl/role/x {}
DELETE /v1/acl/role/x
GET /v1/acl/binding-rules
PUT /v1/acl/binding-rule {}
GET /v1/acl/binding-rule/x
PUT /v1/acl/binding-rule/x {}
DELETE /v1/acl/binding-rule/x
GET /v1/acl/auth-methods
PUT /v1/acl/auth-method {}
GET /v1/acl/auth-method/x
PUT /v1/acl/auth-method/x {}
DELETE /v1/acl/auth-method/x
POST /v1/acl/rules/translate "rules"
GET /v1/acl/rules/translate/x
GET /v1/acl/tokens
PUT /v1/acl/token {}
GET /v1/acl/token/self
GET /v1/acl/token/x
PUT /v1/acl/token/x {}
DELETE /v1/acl/token/x
POST /v1/internal/acl/authorize {}
GET /v1/internal/acl/resolve
GET /v1/internal/replication/tokens
POST /v1/internal/replication/tokens {}
GET /v1/agent/primary/tokens
POST /v1/agent/primary/tokens {}
POST /v1/internal/auto_encrypt/sign {}
"""
CAPTURES = {
    'PUT /v1/session/create {"Name"': {"sid": "$.ID"},
    'POST /v1/query {"Name":"': {"qid": "$.ID"},
    "POST /v1/connect/intentions {": {"iid": "$.ID"},
}
# Not compared as the others are: it ends the agent.
LEFT_OUT = frozenset((("PUT", "/v1/agent/leave"),))
ENDLESS = ("/v1/agent/monitor", "/v1/watch?topic=kv/x")


def steps() -> list[dict[str, Any]]:
    """The lines as steps; every other one asks for a compressed answer."""
    found = []
    for number, line in enumerate(REQUESTS.strip().splitlines()):
        method, target, *body = line.split(" ", 2)
        step: dict[str, Any] = {"http": f"{method} {target}"}
        if body:
            text = body[0]
            step["body"] = json.loads(text) if text.startswith('"') else text
        for start, capture in CAPTURES.items():
            if line.startswith(start):
                step["capture"] = capture
        if number % 2:
            step["headers"] = {"Accept-Encoding": "gzip"}
        found.append(step)
    return found
