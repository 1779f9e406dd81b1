"""The auth method `kubernetes` against an API server over HTTPS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apid.endpoints.acl import kubernetes
from apid.endpoints.acl.jwt import NotAToken, check
from lictor.state.rows import ACLAuthMethod
from tests.apid.authority import Authority
from tests.apid.kubernetes_server import KubernetesServer, jwt

WEB = jwt("web")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KubernetesServer]:
    made = KubernetesServer(tmp_path)
    made.accounts[WEB] = ("prod", "web", "some-uid")
    yield made
    made.close()


def _method(**config: Any) -> ACLAuthMethod:
    return ACLAuthMethod("k8s", "kubernetes", "", config)


def _refused(server: KubernetesServer, token: str, **config: Any) -> str:
    with pytest.raises(kubernetes.LoginRefused) as refused:
        asyncio.run(kubernetes.verify(_method(**{**server.config, **config}), token))
    return str(refused.value)


def test_a_known_token_tells_its_service_account(server: KubernetesServer) -> None:
    found = asyncio.run(kubernetes.verify(_method(**server.config), WEB))
    assert found == {
        "serviceaccount.namespace": "prod",
        "serviceaccount.name": "web",
        "serviceaccount.uid": "some-uid",
    }
    assert server.asked == [
        "POST /apis/authentication.k8s.io/v1/tokenreviews",
        "GET /api/v1/namespaces/prod/serviceaccounts/web",
    ]


def test_an_annotation_gives_the_account_another_name(server: KubernetesServer) -> None:
    server.annotations["prod", "web"] = {"consul.hashicorp.com/service-name": "frontend"}
    found = asyncio.run(kubernetes.verify(_method(**server.config), WEB))
    assert found["serviceaccount.name"] == "frontend"


def test_what_is_no_token_is_not_shown_to_kubernetes(server: KubernetesServer) -> None:
    assert _refused(server, "x") == (
        "failed to parse and validate JWT: square/go-jose: compact JWS format must have three parts"
    )
    assert server.asked == []


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"error": "gone"}, "lookup failed: gone"),
        ({"authenticated": False}, "lookup failed: service account jwt not valid"),
        ({"authenticated": True, "user": {"username": "me"}}, "lookup failed: unexpected username format"),
        (
            {"authenticated": True, "user": {"username": "system:node:a:b"}},
            "lookup failed: username returned is not a service account",
        ),
        (
            {"authenticated": True, "user": {"username": "system:serviceaccount:prod:gone"}},
            'annotation lookup failed: serviceaccounts "gone" not found',
        ),
    ],
)
def test_whom_kubernetes_does_not_vouch_for(server: KubernetesServer, status: dict[str, Any], text: str) -> None:
    server.statuses[WEB] = status
    assert _refused(server, WEB) == text


def test_a_reviewer_that_kubernetes_does_not_know_is_told_so(server: KubernetesServer) -> None:
    assert _refused(server, WEB, ServiceAccountJWT=jwt("stranger")) == "Unauthorized"


def test_only_the_configured_authority_is_believed(server: KubernetesServer, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other").file.read_text()
    assert _refused(server, WEB, CACert=other).endswith(": x509: certificate signed by unknown authority")
    assert server.asked == []


def test_an_api_server_that_is_away(server: KubernetesServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert _refused(server, WEB, Host=f"127.0.0.1:{port}") == (
        f'Post "https://127.0.0.1:{port}/apis/authentication.k8s.io/v1/tokenreviews": '
        f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    )


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "Config.Host is required"),
        ({"Host": 5}, "Config.CACert is required"),
        ({"host": "x", "CACert": "x"}, "error parsing kubernetes ca cert: "
         "data does not contain any valid RSA or ECDSA certificates"),
        ({"Foo": 1}, "error decoding config: 1 error(s) decoding:\n\n* '' has invalid keys: Foo"),
        ({"Foo": 1, "Bar": 2, "Host": []}, "error decoding config: 2 error(s) decoding:\n\n"
         "* '' has invalid keys: Bar, Foo\n* 'Host' expected type 'string', got unconvertible type '[]interface {}'"),
    ],
)  # fmt: skip
def test_what_no_configuration_may_be(config: dict[str, Any], problem: str) -> None:
    assert kubernetes.config_problem(_method(**config)) == problem


def test_the_configuration_needs_certificate_and_token(server: KubernetesServer) -> None:
    assert kubernetes.config_problem(_method(**server.config)) == ""
    assert kubernetes.config_problem(_method(**{**server.config, "ServiceAccountJWT": ""})) == (
        "Config.ServiceAccountJWT is required"
    )
    assert kubernetes.config_problem(_method(**{**server.config, "ServiceAccountJWT": "a.b"})).startswith(
        "Config.ServiceAccountJWT is not a valid JWT: "
    )
    assert kubernetes.config_problem(_method(**{**server.config, "Host": "x/y"})) == (
        'host must be a URL or a host:port pair: "x/y"'
    )
    assert kubernetes.config_problem(_method(**{**server.config, "Host": "x y"})) == (
        'parse "https://x y": invalid character " " in host name'
    )


def test_selectors_choose_service_accounts() -> None:
    verified = {"serviceaccount.namespace": "prod", "serviceaccount.name": "web", "serviceaccount.uid": "u"}
    assert kubernetes.matches('serviceaccount.namespace==prod and serviceaccount.name!="db"', verified)
    assert not kubernetes.matches("serviceaccount.uid==other", verified)
    assert not kubernetes.matches("nonsense", verified)
    assert kubernetes.selector_problem("serviceaccount.name==x") == ""
    assert 'Selector "foo" is not valid' in kubernetes.selector_problem("foo==x")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a.b", "square/go-jose: compact JWS format must have three parts"),
        ("!.e30.e30", "illegal base64 data at input byte 0"),
        ("W10.e30.e30", "json: cannot unmarshal array into Go value of type jose.rawHeader"),
        ("{}", "square/go-jose: missing payload in JWS message"),
        ('{"payload": 5}', "json: cannot unmarshal number into Go value of type string"),
        ('{"payload": "e30", "signature": "!"}', "illegal base64 data at input byte 0"),
        ('{"payload": "e30", "header": 5}', "json: cannot unmarshal number into Go value of type jose.rawHeader"),
        (" e30.e30.\n", ""),
        ('{"payload": "e30", "protected": "e30"}', ""),
    ],
)
def test_what_is_a_signed_token(text: str, problem: str) -> None:
    if not problem:
        check(text)
        return
    with pytest.raises(NotAToken) as refused:
        check(text)
    assert str(refused.value) == problem
