"""`consul acl …`: finding records, merging what is given, and the token that commands are run with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Consul
from tests.cli.stub_agent import StubAgent

TOKEN = "429cd746-03d5-4bbb-a83a-18b164171c89"
ROLE = "529cd746-03d5-4bbb-a83a-18b164171c89"
ANONYMOUS = "00000000-0000-0000-0000-000000000002"
MANAGEMENT = "00000000-0000-0000-0000-000000000001"


def _token(**fields: Any) -> dict[str, Any]:
    return {
        "AccessorID": TOKEN,
        "SecretID": "s",
        "Description": "",
        "Local": False,
        "CreateTime": "2020-01-02T03:04:05Z",
        **fields,
    }


def _role(**fields: Any) -> dict[str, Any]:
    return {"ID": ROLE, "Name": "r", "Description": "", **fields}


def _sent(stub: StubAgent) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(stub.requests[-1].body)
    return sent


def test_built_in_records_may_be_named(stub: StubAgent, consul: Consul) -> None:
    stub.on(f"DELETE /v1/acl/token/{ANONYMOUS}", True)
    stub.on(f"DELETE /v1/acl/policy/{MANAGEMENT}", True)
    assert consul("acl", "token", "delete", "-id=anonymous").code == 0
    assert consul("acl", "policy", "delete", "-id=global-management").code == 0


def test_a_beginning_that_several_ids_have_is_refused(stub: StubAgent, consul: Consul) -> None:
    stub.on("GET /v1/acl/roles", [{"ID": ROLE, "Name": "r"}, {"ID": "529c", "Name": "s"}])
    assert (
        consul("acl", "role", "delete", "-id=529c").err == "Error determining role ID: Partial role ID is not unique\n"
    )


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("web", {"ServiceName": "web"}),
        ("web:bj,sh", {"ServiceName": "web", "Datacenters": ["bj", "sh"]}),
        (":bj", {"ServiceName": "", "Datacenters": ["bj"]}),
    ],
)
def test_service_identities_are_a_name_and_datacenters(
    stub: StubAgent, consul: Consul, given: str, sent: dict[str, Any]
) -> None:
    stub.on("PUT /v1/acl/token", _token())
    assert consul("acl", "token", "create", f"-service-identity={given}").code == 0
    assert _sent(stub)["ServiceIdentities"] == [sent]


def test_a_service_identity_of_three_parts_is_malformed(consul: Consul) -> None:
    assert consul("acl", "token", "create", "-service-identity=a:b:c") == (
        1,
        "",
        'Malformed -service-identity argument: "a:b:c"\n',
    )


def test_merged_service_identities_replace_those_of_their_name(stub: StubAgent, consul: Consul) -> None:
    stub.on(f"GET /v1/acl/token/{TOKEN}", _token(ServiceIdentities=[{"ServiceName": "x"}, {"ServiceName": "z"}]))
    stub.on(f"PUT /v1/acl/token/{TOKEN}", _token())
    given = ("-service-identity=y", "-service-identity=x:bj")
    consul("acl", "token", "update", f"-id={TOKEN}", "-merge-service-identities", *given)
    assert _sent(stub)["ServiceIdentities"] == [
        {"ServiceName": "x", "Datacenters": ["bj"]},
        {"ServiceName": "z"},
        {"ServiceName": "y"},
    ]
    consul("acl", "token", "update", f"-id={TOKEN}", *given)
    assert [entry["ServiceName"] for entry in _sent(stub)["ServiceIdentities"]] == ["y", "x"]


def test_policies_are_merged_by_name_and_id(stub: StubAgent, consul: Consul) -> None:
    present = [{"ID": MANAGEMENT, "Name": "global-management"}]
    stub.on(f"GET /v1/acl/role/{ROLE}", _role(Policies=present))
    stub.on(f"PUT /v1/acl/role/{ROLE}", _role())
    consul("acl", "role", "update", f"-id={ROLE}", "-policy-name=global-management", f"-policy-id={MANAGEMENT}")
    assert _sent(stub)["Policies"] == present


def test_only_a_legacy_token_is_upgraded(stub: StubAgent, consul: Consul) -> None:
    stub.on(f"GET /v1/acl/token/{TOKEN}", _token(Rules="x"))
    stub.on(f"PUT /v1/acl/token/{TOKEN}", _token())
    assert consul("acl", "token", "update", f"-id={TOKEN}", "-upgrade-legacy").code == 0
    assert "Rules" not in _sent(stub)
    stub.on(f"GET /v1/acl/token/{TOKEN}", _token())
    assert consul("acl", "token", "update", f"-id={TOKEN}", "-upgrade-legacy").err == (
        "Can't use -upgrade-legacy on a non-legacy token\n"
    )


def test_records_that_are_not_there_are_named(consul: Consul) -> None:
    assert consul("acl", "role", "update", f"-id={ROLE}").err == f'Role not found with ID "{ROLE}"\n'
    assert consul("acl", "binding-rule", "update", f"-id={ROLE}").err == f'Binding rule not found with ID "{ROLE}"\n'


def test_an_empty_selector_takes_the_selector_away(stub: StubAgent, consul: Consul) -> None:
    rule = {"ID": ROLE, "AuthMethod": "m", "Description": "", "BindType": "role", "BindName": "r", "Selector": "s"}
    stub.on(f"GET /v1/acl/binding-rule/{ROLE}", rule)
    stub.on(f"PUT /v1/acl/binding-rule/{ROLE}", rule)
    consul("acl", "binding-rule", "update", f"-id={ROLE}", "-selector=")
    assert _sent(stub)["Selector"] == ""
    consul("acl", "binding-rule", "update", f"-id={ROLE}", "-description=d")
    assert _sent(stub)["Selector"] == "s"


def test_a_policy_takes_the_translated_rules_of_a_legacy_token(stub: StubAgent, consul: Consul) -> None:
    stub.on(f"GET /v1/acl/token/{TOKEN}", _token(Rules='key "a" { policy = "read" }'))
    stub.on("PUT /v1/acl/policy", {"ID": "i", "Name": "p", "Description": ""})
    assert consul("acl", "policy", "create", "-name=p", f"-from-token={TOKEN}").code == 0
    assert _sent(stub)["Rules"].startswith('key_prefix "a" {')
    both = consul("acl", "policy", "create", "-name=p", "-from-token=x", "-rules=y")
    assert both.err == "Error loading rules: Cannot specify both -rules and -from-token\n"


@pytest.mark.parametrize(
    ("flags", "environment", "used"),
    [
        (["-token=flag"], {"CONSUL_HTTP_TOKEN": "env"}, "flag"),
        ([], {"CONSUL_HTTP_TOKEN": "env"}, "env"),
        (["-token=flag", "-token-file=FILE"], {}, "file"),
        (["-token=flag"], {"CONSUL_HTTP_TOKEN_FILE": "FILE"}, "file"),
        ([], {"CONSUL_HTTP_TOKEN": "env", "CONSUL_HTTP_TOKEN_FILE": "FILE"}, "file"),
        (["-token-file=EMPTY"], {"CONSUL_HTTP_TOKEN": "env"}, "env"),
    ],
)
def test_a_token_file_counts_before_a_token(
    stub: StubAgent,
    consul: Consul,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    environment: dict[str, str],
    used: str,
) -> None:
    file, empty = tmp_path / "token", tmp_path / "empty"
    file.write_text("file\n")
    empty.touch()

    def placed(text: str) -> str:
        return text.replace("FILE", str(file)).replace("EMPTY", str(empty))

    for name, value in environment.items():
        monkeypatch.setenv(name, placed(value))
    stub.on("GET /v1/acl/token/self", _token())
    assert consul("acl", "token", "read", "-self", *map(placed, flags)).code == 0
    assert stub.requests[-1].headers["X-Consul-Token"] == used
