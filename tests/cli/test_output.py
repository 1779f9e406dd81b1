"""What the commands ask, print and return."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from lictor.cli.locking import LOCK_FLAGS
from lictor.cli.main import main
from tests.cli.conftest import Consul
from tests.cli.stub_agent import StubAgent


def member(name: str, role: str, status: int = 1, **tags: str) -> dict[str, Any]:
    base = {"role": role, "dc": "bj", "build": "1.7.2:abcdef", "vsn": "2", "segment": ""}
    return {"Name": name, "Addr": "10.0.0.1", "Port": 8301, "Tags": {**base, **tags}, "Status": status}


def test_members_is_an_aligned_table_with_servers_first(stub: StubAgent, consul: Consul) -> None:
    stub.on("GET /v1/agent/members", [member("a-client", "node"), member("longer-name", "consul", status=4)])
    result = consul("members")
    assert result.out == (
        "Node         Address        Status  Type    Build  Protocol  DC  Segment\n"
        "longer-name  10.0.0.1:8301  failed  server  1.7.2  2         bj  <all>\n"
        "a-client     10.0.0.1:8301  alive   client  1.7.2  2         bj  <default>\n"
    )
    assert result.code == 0
    assert stub.requests[0].target == "/v1/agent/members?segment=_all"


def test_members_of_a_status_nobody_has_is_2(stub: StubAgent, consul: Consul) -> None:
    stub.on("GET /v1/agent/members", [member("a", "consul")])
    assert consul("members", "-status=failed") == (2, "", "")
    assert consul("members", "-status=(").code == 1


def test_members_detailed_lists_tags(stub: StubAgent, consul: Consul) -> None:
    stub.on("GET /v1/agent/members", [{**member("a", "consul"), "Tags": {"role": "consul", "id": "x"}}])
    assert consul("members", "-detailed", "-wan").out.splitlines()[1].endswith("  id=x,role=consul,segment=<all>")
    assert stub.requests[0].target == "/v1/agent/members?segment=_all&wan=1"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["members"], 'Error retrieving members: Get "http://{}/v1/agent/members?segment=_all": {}'),
        (["kv", "get", "x"], 'Error querying Consul agent: Get "http://{}/v1/kv/x": {}'),
        (["info"], 'Error querying agent: Get "http://{}/v1/agent/self": {}'),
        (["kv", "put", "x", "y"], 'Error! Failed writing data: Put "http://{}/v1/kv/x": {}'),
        (["leave"], 'Error leaving: Put "http://{}/v1/agent/leave": {}'),
    ],
)
def test_no_agent_is_one_line_naming_the_address(
    arguments: list[str], text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    for given in (address, f"http://{address}"):
        monkeypatch.setenv("CONSUL_HTTP_ADDR", given)
        assert main(arguments) == 1
        expected = text.format(address, f"dial tcp {address}: connect: connection refused")
        assert capsys.readouterr().err == expected + "\n"


def test_no_agent_behind_a_unix_socket_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", f"-http-addr=unix://{tmp_path}/none.sock"]) == 1
    assert f"dial unix {tmp_path}/none.sock: connect: no such file or directory" in capsys.readouterr().err


def test_common_flags_reach_the_agent(stub: StubAgent, consul: Consul, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" secret \n")
    stub.on("GET /v1/kv/a", [{"Key": "a", "Value": "YQ=="}])
    assert consul("kv", "get", "-stale", "-datacenter=sh", f"-token-file={tmp_path}/token", "a").out == "a\n"
    request = stub.requests[0]
    assert request.target == "/v1/kv/a?dc=sh&stale="
    assert request.headers["X-Consul-Token"] == "secret"
    assert consul("kv", "get", "-token=t", "a").code == 0
    assert stub.requests[1].headers["X-Consul-Token"] == "t"
    assert consul("kv", "get", "-token-file=/nonexistent/x", "a").code == 1


def test_environment_gives_token_and_credentials(
    stub: StubAgent, consul: Consul, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "from-env")
    monkeypatch.setenv("CONSUL_HTTP_AUTH", "user:password")
    stub.on("PUT /v1/agent/reload")
    assert consul("reload") == (0, "Configuration reload triggered\n", "")
    assert stub.requests[0].headers["X-Consul-Token"] == "from-env"
    assert stub.requests[0].headers["Authorization"] == "Basic dXNlcjpwYXNzd29yZA=="


def test_keys_are_escaped_in_the_url_and_values_are_bytes(stub: StubAgent, consul: Consul, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(range(256)))
    stub.on("PUT /v1/kv/a%20b%3F/%C3%A9", True)
    assert consul("kv", "put", "-flags=42", "a b?/é", f"@{tmp_path}/data").code == 0
    assert stub.requests[0].target == "/v1/kv/a%20b%3F/%C3%A9?flags=42"
    assert stub.requests[0].body == bytes(range(256))


def test_an_api_error_shows_code_and_body(stub: StubAgent, consul: Consul) -> None:
    stub.on("PUT /v1/agent/force-leave/x", b"nobody of that name", status=500)
    result = consul("force-leave", "x")
    assert result == (1, "", "Error force leaving: Unexpected response code: 500 (nobody of that name)\n")


def test_join_needs_one_success(stub: StubAgent, consul: Consul) -> None:
    stub.on("PUT /v1/agent/join/1.2.3.4")
    stub.on("PUT /v1/agent/join/5.6.7.8", b"no", status=500)
    both = consul("join", "1.2.3.4", "5.6.7.8")
    assert (both.code, both.out) == (0, "Successfully joined cluster by contacting 1 nodes.\n")
    assert both.err == "Error joining address '5.6.7.8': Unexpected response code: 500 (no)\n"
    assert consul("join", "-wan", "5.6.7.8").err.endswith("Failed to join any nodes.\n")
    assert stub.requests[-1].target == "/v1/agent/join/5.6.7.8?wan=1"


def test_export_is_what_import_takes(stub: StubAgent, consul: Consul) -> None:
    entries = [{"Key": "p/<a>", "Flags": 3, "Value": "aGk="}, {"Key": "p/empty", "Flags": 0, "Value": None}]
    stub.on("GET /v1/kv/p", entries)
    exported = consul("kv", "export", "p").out
    assert exported.startswith('[\n\t{\n\t\t"key": "p/\\u003ca\\u003e",\n\t\t"flags": 3,\n\t\t"value": "aGk="\n\t},')
    stub.on("PUT /v1/kv/p/%3Ca%3E", True)
    stub.on("PUT /v1/kv/p/empty", True)
    assert consul("kv", "import", exported).out == "Imported: p/<a>\nImported: p/empty\n"
    assert stub.requests[-2].body == b"hi"


def test_watch_prints_once(stub: StubAgent, consul: Consul) -> None:
    stub.on("GET /v1/agent/self", {})
    stub.on("GET /v1/catalog/services", {"consul": []}, X_Consul_Index="7")
    assert consul("watch", "-type=services").out == '{\n    "consul": []\n}\n'


def test_watch_runs_its_child_with_the_state_until_it_fails(stub: StubAgent, consul: Consul, tmp_path: Path) -> None:
    stub.on("GET /v1/agent/self", {})
    stub.on("GET /v1/catalog/services", {"consul": []}, X_Consul_Index="7")
    result = consul("watch", "-type=services", f"cat > {tmp_path}/state; echo $CONSUL_INDEX > {tmp_path}/index; exit 4")
    assert (result.code, result.err) == (1, "Error executing handler: exit status 4\n")
    assert json.loads((tmp_path / "state").read_text()) == {"consul": []}
    assert (tmp_path / "index").read_text() == "7\n"


def test_autopilot_changes_only_what_is_given(stub: StubAgent, consul: Consul) -> None:
    present = {"CleanupDeadServers": True, "LastContactThreshold": "200ms", "MaxTrailingLogs": 250, "ModifyIndex": 5}
    stub.on("GET /v1/operator/autopilot/configuration", present)
    stub.on("PUT /v1/operator/autopilot/configuration", True)
    result = consul(
        "operator", "autopilot", "set-config", "-cleanup-dead-servers=false", "-last-contact-threshold=1500ms"
    )
    assert result == (0, "Configuration updated!\n", "")
    assert stub.requests[1].target.endswith("?cas=5")
    assert json.loads(stub.requests[1].body) == {
        **present,
        "CleanupDeadServers": False,
        "LastContactThreshold": "1.5s",
    }


def test_services_register_from_flags(stub: StubAgent, consul: Consul) -> None:
    stub.on("PUT /v1/agent/service/register")
    assert consul("services", "register", "-name=w", "-port=80", "-tag=a", "-tag=b", "-meta", "k=v").code == 0
    assert json.loads(stub.requests[0].body) == {"Name": "w", "Port": 80, "Tags": ["a", "b"], "Meta": {"k": "v"}}


def test_acl_policies_are_found_by_the_beginning_of_their_id(stub: StubAgent, consul: Consul) -> None:
    identity = "9095c165-7f5f-6892-e9bc-722c3a08ebf0"
    stub.on("GET /v1/acl/policies", [{"ID": identity, "Name": "p"}, {"ID": "7234405d", "Name": "q"}])
    stub.on(f"DELETE /v1/acl/policy/{identity}", True)
    assert consul("acl", "policy", "delete", "-id=9095").out == f'Policy "{identity}" deleted successfully\n'
    assert consul("acl", "policy", "delete", "-name=p").code == 0
    missing = consul("acl", "policy", "delete", "-name=x")
    assert missing == (1, "", "Error determining policy ID: No such policy with name x\n")


def test_acl_token_create_prints_the_token(stub: StubAgent, consul: Consul) -> None:
    stub.on(
        "PUT /v1/acl/token",
        {
            "AccessorID": "acc",
            "SecretID": "sec",
            "Description": "d",
            "Local": False,
            "CreateTime": "2020-04-13T08:55:43.821Z",
            "Policies": [{"ID": "1", "Name": "p"}],
            "ServiceIdentities": [{"ServiceName": "web"}],
            "CreateIndex": 1,
            "ModifyIndex": 1,
        },
    )
    result = consul("acl", "token", "create", "-policy-name=p", "-service-identity=web:dc1,dc2", "-expires-ttl=90s")
    assert result.out.splitlines() == [
        "AccessorID:       acc",
        "SecretID:         sec",
        "Description:      d",
        "Local:            false",
        "Create Time:      2020-04-13 08:55:43.821 +0000 UTC",
        "Policies:",
        "   1 - p",
        "Service Identities:",
        "   web (Datacenters: all)",
    ]
    sent = json.loads(stub.requests[0].body)
    assert sent["ServiceIdentities"] == [{"ServiceName": "web", "Datacenters": ["dc1", "dc2"]}]
    assert sent["ExpirationTTL"] == "1m30s"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("aGVsbG8", 4),
        ("!!!", 0),
        ("aGVs bG8=", 4),
        ("aGVsbG8=x", 8),
        ("aGVs====", 4),
        ("aGVsb===", 5),
        ("aG=l", 2),
        ("a", 0),
    ],
)
def test_bad_base64_is_refused_naming_the_byte(text: str, at: int, consul: Consul) -> None:
    expected = f"Error! Cannot base 64 decode data: illegal base64 data at input byte {at}\n"
    assert consul("kv", "put", "-base64", "k", text) == (1, "", expected)


def test_base64_may_be_broken_into_lines(stub: StubAgent, consul: Consul) -> None:
    stub.on("PUT /v1/kv/k", True)
    assert consul("kv", "put", "-base64", "k", "aGVs\nbG8=\r\n").code == 0
    assert stub.requests[0].body == b"hello"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{}", "json: cannot unmarshal object into Go value of type []*impexp.Entry"),
        ("[1]", "json: cannot unmarshal number into Go value of type impexp.Entry"),
        ('[{"key":1}]', "json: cannot unmarshal number into Go struct field Entry.key of type string"),
        (
            '[{"key":"a","flags":-1}]',
            "json: cannot unmarshal number -1 into Go struct field Entry.flags of type uint64",
        ),
        ("x", "invalid character 'x' looking for beginning of value"),
    ],
)
def test_import_refuses_what_is_no_list_of_entries(text: str, error: str, consul: Consul) -> None:
    assert consul("kv", "import", text) == (1, "", f"Cannot unmarshal data: {error}\n")


def test_import_stops_at_the_first_failure_and_reads_keys_of_any_case(stub: StubAgent, consul: Consul) -> None:
    stub.on("PUT /v1/kv/a", True)
    result = consul("kv", "import", '[{"Key":"a","FLAGS":7,"Value":"aGk="},{"key":"/b"},{"key":"a"}]')
    error = "Error! Failed writing data for key /b: Invalid key. Key must not begin with a '/': /b\n"
    assert result == (1, "Imported: a\n", error)
    assert [request.target for request in stub.requests] == ["/v1/kv/a?flags=7"]


def test_an_error_about_a_key_to_read_is_its_code(stub: StubAgent, consul: Consul) -> None:
    stub.on("GET /v1/kv/k", b"No path to datacenter", status=500)
    assert consul("kv", "get", "k").err == "Error querying Consul agent: Unexpected response code: 500\n"
    assert consul("kv", "get", "-keys", "k").err == "Error querying Consul agent: Unexpected response code: 500\n"
    stub.on("PUT /v1/kv/k", b"why", status=500)
    assert consul("kv", "put", "k").err == "Error! Failed writing data: Unexpected response code: 500 (why)\n"


def test_redirects_are_followed(stub: StubAgent, consul: Consul) -> None:
    stub.on("GET /v1/kv//a", status=301, Location="/v1/kv/a")
    stub.on("GET /v1/kv/a", [{"Key": "a", "Value": "eA=="}])
    assert consul("kv", "get", "//a").out == "x\n"


def test_services_are_listed_with_their_tags_in_columns(stub: StubAgent, consul: Consul) -> None:
    stub.on("GET /v1/catalog/services", {"web": ["b", "a"], "consul": []})
    assert consul("catalog", "services", "-tags").out == "consul      \nweb         a,b\n"
    stub.on("GET /v1/catalog/services", {"consul": []})
    assert consul("catalog", "services", "-tags").out == "consul\n"


def test_members_status_is_a_pattern_found_anywhere(stub: StubAgent, consul: Consul) -> None:
    stub.on("GET /v1/agent/members", [member("a", "consul"), {**member("b", "other", 4), "Tags": {"role": "other"}}])
    assert consul("members", "-status=ali").out.splitlines()[1].startswith("a ")
    assert (
        consul("members", "-status=fail").out.splitlines()[1]
        == "b     10.0.0.1:8301  failed  unknown                       "
    )
    assert consul("members", "-status=(").err == (
        "Failed to compile status regexp: error parsing regexp: missing closing ): `(`\n"
    )


def test_config_write_refuses_what_is_no_entry(stub: StubAgent, consul: Consul, tmp_path: Path) -> None:
    path = tmp_path / "entry"
    refused = "Failed to decode config entry input: "
    for text, error in (
        ("{}", "Payload does not contain a kind/Kind key at the top level"),
        ('{"kind":1}', "Kind value in payload is not a string"),
        ('{"kind":"nope"}', "invalid config entry kind: nope"),
        ('{"kind":"x" "y"}', f"""{refused}invalid character '"' after object key:value pair"""),
    ):
        path.write_text(text)
        assert consul("config", "write", str(path)) == (1, "", f"{refused}{error}\n")
    stub.on("PUT /v1/config", b"Bad request: Request decoding failed: 1 error occurred", status=400)
    path.write_text('{"kind":"service-defaults","name":"x","y":1}')
    assert consul("config", "write", str(path)).err == f"{refused}1 error occurred\n"


def test_intentions_in_files_are_sent_as_they_are(stub: StubAgent, consul: Consul, tmp_path: Path) -> None:
    stub.on("POST /v1/connect/intentions", {"ID": "x"})
    (tmp_path / "i").write_text('{"sourcename":"a","DestinationName":"b"}')
    assert consul("intention", "create", "-file", f"{tmp_path}/i").out == "Created: a => b ()\n"
    assert json.loads(stub.requests[0].body) == {"sourcename": "a", "DestinationName": "b"}
    assert consul("intention", "create", "a/b/c", "d").err == (
        "Error: Invalid intention source: target can contain at most one '/'\n"
    )
    assert consul("intention", "create", "ns/a", "d").out == "Created: ns/a => d (allow)\n"
    assert json.loads(stub.requests[-1].body)["SourceNS"] == "ns"


def test_watch_gives_its_child_one_line(stub: StubAgent, consul: Consul, tmp_path: Path) -> None:
    stub.on("GET /v1/agent/self", {})
    stub.on("GET /v1/catalog/services", {"a": ["x"], "b": []}, X_Consul_Index="7")
    assert consul("watch", "-type=services", f"cat > {tmp_path}/state; exit 1").code == 1
    assert (tmp_path / "state").read_text() == '{"a":["x"],"b":[]}\n'


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["-type=services", "-key=x"], "Invalid parameters: [key]"),
        (["-type=checks", "-state=nope"], "Unsupported state: nope"),
        (
            ["-type=service", "-service=x", "-passingonly=zz"],
            'Failed to parse passingonly flag: strconv.ParseBool: parsing "zz": invalid syntax',
        ),
    ],
)
def test_a_wrong_watch_is_refused(arguments: list[str], error: str, consul: Consul) -> None:
    assert consul("watch", *arguments) == (1, "", f"{error}\n")


def test_a_handler_that_is_not_there_is_named(stub: StubAgent, consul: Consul) -> None:
    stub.on("GET /v1/agent/self", {})
    stub.on("GET /v1/catalog/services", {}, X_Consul_Index="7")
    missing = consul("watch", "-type=services", "-shell=false", "/nonexistent")
    assert missing == (1, "", "Error starting handler: fork/exec /nonexistent: no such file or directory\n")
    nowhere = consul("watch", "-type=services", "-shell=false", "no-such-program")
    assert nowhere.err == 'Error starting handler: exec: "no-such-program": executable file not found in $PATH\n'


def test_lock_tells_its_steps(stub: StubAgent, consul: Consul) -> None:
    stub.on("GET /v1/agent/self", {})
    stub.on("PUT /v1/session/create", {"ID": "s"})
    stub.on("PUT /v1/session/destroy/s", True)
    held = {"Key": "p/.lock", "Session": "s", "Flags": LOCK_FLAGS, "ModifyIndex": 9, "Value": None}
    stub.on("GET /v1/kv/p/.lock", [held], X_Consul_Index="9")
    stub.on("PUT /v1/kv/p/.lock", True)
    assert consul("lock", "-verbose", "-shell=false", "p", "true").out.splitlines() == [
        "Setting up lock at path: p/.lock",
        "Attempting lock acquisition",
        "Starting handler",
        "Child terminated, releasing lock",
        "Cleanup aborted, lock in use",
    ]
    missing = consul("lock", "-child-exit-code", "-shell=false", "p", "/nonexistent")
    assert (missing.code, missing.err) == (
        2,
        "Error starting handler: fork/exec /nonexistent: no such file or directory\n",
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["-timeout=-1s", "p", "x"], "Timeout must be positive"),
        (["-monitor-retry=-1", "p", "x"], "Number for 'monitor-retry' must be >= 0"),
        (["-n=0", "p"], "Lock holder limit must be positive"),
        (["p"], "Key prefix and child command must be specified"),
    ],
)
def test_lock_refuses(arguments: list[str], error: str, consul: Consul) -> None:
    assert consul("lock", *arguments) == (1, "", f"{error}\n")


def test_acl_ids_that_cannot_be_found_out_are_told(stub: StubAgent, consul: Consul) -> None:
    for path in ("tokens", "roles", "binding-rules", "policies"):
        stub.on(f"GET /v1/acl/{path}", b"ACL support disabled", status=401)
    refused = "Unexpected response code: 401 (ACL support disabled)\n"
    for command, what in (("token", "token"), ("role", "role"), ("binding-rule", "binding rule"), ("policy", "policy")):
        for action in ("read", "update", "delete"):
            error = consul("acl", command, action, "-id=x").err
            assert error == f"Error determining {what} ID: {refused}"
    assert consul("acl", "token", "create", "-policy-id=x").err == f"Error resolving policy ID : {refused}"
    usage = consul("acl", "role", "create").err
    assert usage.startswith("Missing require '-name' flag\nUsage: consul acl role create -name NAME [options]\n")


def test_config_read_leaves_out_what_is_null(stub: StubAgent, consul: Consul) -> None:
    stub.on("GET /v1/config/proxy-defaults/global", {"Kind": "proxy-defaults", "Config": None, "MeshGateway": {}})
    result = consul("config", "read", "-kind=proxy-defaults", "-name=global")
    assert result.out == '{\n    "Kind": "proxy-defaults",\n    "MeshGateway": {}\n}\n'


def test_rtt_over_the_wan_names_the_first_of_a_pair_it_does_not_have(stub: StubAgent, consul: Consul) -> None:
    coordinate = {"Vec": [0.0] * 8, "Height": 1e-5, "Adjustment": 0.0, "Error": 1.5}
    known = {"Datacenter": "bj", "AreaID": "wan", "Coordinates": [{"Node": "a", "Coord": coordinate}]}
    stub.on("GET /v1/coordinate/datacenters", [known])
    assert consul("rtt", "-wan", "a.bj", "b.bj").err == 'Could not find a coordinate for node "a.bj"\n'
    assert (
        consul("rtt", "-wan", "a.bj", "a.bj").out == "Estimated a.bj <-> a.bj rtt: 0.020 ms (using WAN coordinates)\n"
    )
