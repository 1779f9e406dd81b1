"""The API's own description is true: requests made from it, good and bad, get answers that it describes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias
from urllib.parse import unquote

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tools.agents import Agent, make_agent, running, wait_until

AnyOperation: TypeAlias = APIOperation[Any, Any, Any, Any]
AnyCase: TypeAlias = Case[Any]

SEED = 1_702
MASTER = "6b1f0c3a-5d2e-4c77-9a10-2f8e4d7c9b01"
# Cases of each operation and kind; more than a hundred operations share a minute.
EXAMPLES = 4
TIMEOUT_S = 10
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance, response_headers_conformance]
# The first ends the agent, the others do not end by themselves.
LEFT_OUT = frozenset(("/v1/agent/leave", "/v1/agent/monitor", "/v1/watch"))
MISTAKE_OF_OURS = re.compile(rb"^\w+(Error|Exception|Exit): ")


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    config = {"performance": {"raft_multiplier": 1}, "connect": {"enabled": True}, "enable_debug": True}
    made = make_agent(tmp_path_factory.mktemp("openapi"), "n1", "-server", "-bootstrap-expect=1", "-ui", config=config)
    with running(made):
        made.wait_leader()
        yield made


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """With access control on, asked by somebody who may do everything."""
    tokens = {"master": MASTER, "agent": MASTER, "default": MASTER}
    config = {"performance": {"raft_multiplier": 1}, "acl": {"enabled": True, "tokens": tokens}}
    made = make_agent(tmp_path_factory.mktemp("guarded"), "n1", "-server", "-bootstrap-expect=1", config=config)
    with running(made):
        wait_until("the master token is there", lambda: made.get("/v1/acl/tokens"), 60)
        yield made


@pytest.fixture(scope="module")
def document(agent: Agent) -> dict[str, Any]:
    found: dict[str, Any] = agent.get("/openapi.json")
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_answers_are_those_that_the_document_describes(agent: Agent, document: dict[str, Any]) -> None:
    assert compared(agent, document, lambda path: path not in LEFT_OUT) > 100


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_so_are_those_of_access_control(guarded: Agent) -> None:
    assert compared(guarded, guarded.get("/openapi.json"), lambda path: "/acl/" in path) > 40


def compared(agent: Agent, document: dict[str, Any], wanted: Callable[[str], bool]) -> int:
    """Asks all operations of the wanted paths, and gives their number; none may differ."""
    schema = schemathesis.openapi.from_dict(document)
    found: list[str] = []
    count = 0
    for result in schema.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]
        if not wanted(operation.path):
            continue
        count += 1
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            found += differences(agent, operation, mode)
    print(f"seed {SEED}")
    assert not found, "\n\n".join(found)
    assert "Request failed" not in agent.log()
    return count


def differences(agent: Agent, operation: AnyOperation, mode: GenerationMode) -> list[str]:
    """What the answers to a few requests of one operation have that is not described; one of a kind."""
    found: dict[str, str] = {}

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: AnyCase) -> None:
        do_not_wait(case)
        response = case.call(base_url=f"http://{agent.http}", timeout=TIMEOUT_S, allow_redirects=False)
        shown = f"{case.method} {case.formatted_path} {case.query} {case.body!r:.300}"
        shown += f" -> {response.status_code} {response.headers.get('content-type')} {response.content[:200]!r}"
        if response.status_code == 301 or (
            response.status_code == 400 and not unquote(case.formatted_path).isprintable()
        ):
            # Consul sends an unclean path to the clean one and refuses an unprintable one: no operation was asked.
            return
        if response.status_code >= 500 and MISTAKE_OF_OURS.match(response.content):
            found.setdefault(f"mistake {response.content!r:.60}", shown)
        for check in CHECKS:
            try:
                case.validate_response(response, checks=[check])
            except FailureGroup as failures:
                found.setdefault(
                    f"{check.__name__} {response.status_code}", f"{shown}\n{failures.exceptions[0]!s:.600}"
                )

    try:
        ask()
    except schemathesis.errors.SchemathesisError:
        # Nothing that would be wrong can be made for it.
        assert mode is GenerationMode.NEGATIVE
    except BaseException as error:
        if "unsatisfiable" not in type(error).__name__.lower():
            raise
    return [f"{operation.method.upper()} {operation.path}: {kind}\n{text}" for kind, text in found.items()]


def do_not_wait(case: AnyCase) -> None:
    """Blocking queries and profiles get no time."""
    query = case.query
    if query and "index" in query:
        query["wait"] = "1ms"
    if query and "hash" in query:
        query["wait"] = "1ms"
    if query and "seconds" in query:
        query["seconds"] = 0.01


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    schemes = document["components"]["securitySchemes"]
    assert schemes["X-Consul-Token"]["in"] == "header"
    assert {} in document["security"]
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    identifiers = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["operationId"] not in identifiers, where
            identifiers.add(operation["operationId"])
            assert operation["summary"], where
            assert all(tag in tags and tags[tag] != tag for tag in operation["tags"]), where
            assert {"200", "400", "403", "429", "500"} <= operation["responses"].keys(), where
            named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert named == set(re.findall(r"\{([^}]+)\}", path)), where
            for parameter in operation.get("parameters", []):
                assert parameter["in"] == "path" or parameter["description"], where


def test_the_documents_page_shows_it(agent: Agent) -> None:
    import urllib.request

    with urllib.request.urlopen(f"http://{agent.http}/docs") as answer:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert b"/openapi.json" in answer.read()
