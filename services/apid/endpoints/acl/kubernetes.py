"""The auth method `kubernetes`: a service account's token is shown to the Kubernetes API, which says whose it is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from apid.endpoints.acl import jwt
from apid.endpoints.acl.kubernetes_api import KubernetesApi, KubernetesError, ca_problem
from lictor.filter import FilterError, compile_filter
from lictor.filter.fields import STRING, Struct
from lictor.state.acl.binding import Verified
from lictor.state.gotext import quote
from lictor.state.rows import ACLAuthMethod

NAMESPACE, NAME, UID = "serviceaccount.namespace", "serviceaccount.name", "serviceaccount.uid"
FIELDS = (NAMESPACE, NAME, UID)
SELECTABLE: Struct = {"serviceaccount": {"namespace": STRING, "name": STRING, "uid": STRING}}
NAME_ANNOTATION = "consul.hashicorp.com/service-name"
"""Of a service account: the name that binding rules see instead of its own."""
USER_PARTS = 4
_NOT_IN_HOSTS = re.compile(r"""[\s"<>\\^`{|}]""")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]+")


class LoginRefused(Exception):
    """Who wants to log in is not known to be anybody; the text is Consul's."""


class Config(NamedTuple):
    host: str = ""
    ca_cert: str = ""
    service_account_jwt: str = ""


_NAMES = {"Host": "host", "CACert": "ca_cert", "ServiceAccountJWT": "service_account_jwt"}


def _parsed(raw: Mapping[str, Any]) -> tuple[Config, str]:
    """The configuration, and what is wrong with its fields."""
    values: dict[str, str] = {}
    problems, unused = [], set(raw)
    for shown, field in _NAMES.items():
        key = shown if shown in raw else next((key for key in sorted(raw) if key.lower() == shown.lower()), None)
        if key is None:
            continue
        unused.discard(key)
        text = _text(raw[key])
        if text is None:
            kind = "[]interface {}" if isinstance(raw[key], list) else "map[string]interface {}"
            problems.append(f"'{shown}' expected type 'string', got unconvertible type '{kind}'")
        else:
            values[field] = text
    if unused:
        problems.append(f"'' has invalid keys: {', '.join(sorted(unused))}")
    if problems:
        listed = "\n".join(f"* {problem}" for problem in sorted(problems))
        return Config(), f"error decoding config: {len(problems)} error(s) decoding:\n\n{listed}"
    return Config(**values), ""


def _text(value: Any) -> str | None:
    """A scalar as text, None for what is no scalar."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if isinstance(value, list | dict) else str(value)


def config_problem(row: ACLAuthMethod) -> str:
    """What is wrong with a method's configuration; empty when nothing is."""
    config, problem = _parsed(row.config)
    if problem:
        return problem
    if not config.host:
        return "Config.Host is required"
    if not config.ca_cert:
        return "Config.CACert is required"
    if problem := ca_problem(config.ca_cert):
        return f"error parsing kubernetes ca cert: {problem}"
    if not config.service_account_jwt:
        return "Config.ServiceAccountJWT is required"
    try:
        jwt.check(config.service_account_jwt)
    except jwt.NotAToken as error:
        return f"Config.ServiceAccountJWT is not a valid JWT: {error}"
    if not _URL.match(config.host) and config.host.partition("/")[2]:
        return f"host must be a URL or a host:port pair: {quote(config.host)}"
    if not _URL.match(config.host) and (wrong := _NOT_IN_HOSTS.search(config.host)):
        return f"parse {quote('https://' + config.host)}: invalid character {quote(wrong[0])} in host name"
    return ""


def selector_problem(selector: str) -> str:
    """What is wrong with a binding rule's selector; empty when nothing is."""
    try:
        compile_filter(selector, SELECTABLE)
    except FilterError as error:
        return str(error)
    return ""


def matches(selector: str, verified: Verified) -> bool:
    """Whether a binding rule is for this service account; one that cannot be read is for nobody."""
    try:
        chosen = compile_filter(selector, SELECTABLE)
    except FilterError:
        return False
    account = {field.partition(".")[2]: value for field, value in verified.items()}
    return bool(chosen({"serviceaccount": account}))


async def verify(row: ACLAuthMethod, bearer_token: str) -> Verified:
    """What the Kubernetes API knows of the token's service account. Errors: LoginRefused."""
    try:
        jwt.check(bearer_token)
    except jwt.NotAToken as error:
        raise LoginRefused(f"failed to parse and validate JWT: {error}") from None
    config, _ = _parsed(row.config)
    api = KubernetesApi(config.host, config.ca_cert, config.service_account_jwt)
    return await asyncio.to_thread(_verified, api, bearer_token)


def _verified(api: KubernetesApi, bearer_token: str) -> Verified:
    try:
        status = api.review(bearer_token)
    except KubernetesError as error:
        raise LoginRefused(str(error)) from None
    if error_text := status.get("error"):
        raise LoginRefused(f"lookup failed: {error_text}")
    if not status.get("authenticated"):
        raise LoginRefused("lookup failed: service account jwt not valid")
    user = status.get("user") or {}
    parts = str(user.get("username", "")).split(":")
    if len(parts) != USER_PARTS:
        raise LoginRefused("lookup failed: unexpected username format")
    if parts[:2] != ["system", "serviceaccount"]:
        raise LoginRefused("lookup failed: username returned is not a service account")
    namespace, name = parts[2:]
    try:
        annotations = api.annotations(namespace, name)
    except KubernetesError as error:
        raise LoginRefused(f"annotation lookup failed: {error}") from None
    return {NAMESPACE: namespace, NAME: annotations.get(NAME_ANNOTATION, name), UID: str(user.get("uid", ""))}
