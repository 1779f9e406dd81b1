"""Requests with a token, to agents with access control."""

import json
import urllib.error
import urllib.request
from typing import Any

from tools.agents import Agent

MASTER = "6b1f0c3a-5d2e-4c77-9a10-2f8e4d7c9b01"


def ask(agent: Agent, method: str, path: str, token: str = MASTER, body: object = None) -> tuple[int, Any]:
    """Status and body, decoded where it is JSON; of a refusal what is left without the calls on its way."""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    headers = {"X-Consul-Token": token} if token else {}
    request = urllib.request.Request(f"http://{agent.http}{path}", data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            status, raw = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            status, raw = error.code, error.read()
    try:
        return status, json.loads(raw)
    except ValueError:
        return status, raw.decode().replace("rpc error making call: ", "")


def made(agent: Agent, path: str, **fields: Any) -> dict[str, Any]:
    status, answer = ask(agent, "PUT", path, body=fields)
    assert status == 200, answer
    result: dict[str, Any] = answer
    return result
