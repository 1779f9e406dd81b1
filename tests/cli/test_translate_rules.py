"""`consul acl translate-rules` works alone on texts and files, and asks for the rules of old tokens."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import Consul
from tests.cli.stub_agent import StubAgent

OLD = '# why\nkey "a" { policy = "read" }'
NEW = '# why\nkey_prefix "a" {\n  policy = "read"\n}\n'
ACCESSOR = "429cd746-03d5-4bbb-a83a-18b164171c89"


def test_a_text_is_translated_without_an_agent(consul: Consul, stub: StubAgent) -> None:
    assert consul("acl", "translate-rules", OLD) == (0, NEW, "")
    assert stub.requests == []


def test_a_file_and_standard_input_are_translated(
    consul: Consul, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = tmp_path / "rules.hcl"
    rules.write_text(OLD)
    assert consul("acl", "translate-rules", f"@{rules}").out == NEW
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(OLD.encode())))
    assert consul("acl", "translate-rules", "-").out == NEW


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Error! Missing TRANSLATE argument\n"),
        (["a", "b"], "Error! Too many arguments: expected 1 got 2\n"),
        (["@/nonexistent"], "Error! Failed to read file: open /nonexistent: no such file or directory\n"),
        (
            ["key {"],
            "Error translating rules: Failed to parse rules: At 1:7: object expected closing RBRACE got: EOF\n",
        ),
        (["-token-secret", "-token-accessor", "x"], "Error - cannot specify both -token-secret and -token-accessor\n"),
    ],
)
def test_wrong_use_is_told(consul: Consul, arguments: list[str], message: str) -> None:
    assert consul("acl", "translate-rules", *arguments) == (1, "", message)


def test_the_rules_of_an_old_token_are_asked_for_by_its_accessor_or_its_beginning(
    consul: Consul, stub: StubAgent
) -> None:
    stub.on(f"GET /v1/acl/token/{ACCESSOR}", {"Rules": OLD})
    stub.on("GET /v1/acl/tokens", [{"AccessorID": ACCESSOR}, {"AccessorID": "5" * 36}])
    for argument in (ACCESSOR, "429c"):
        assert consul("acl", "translate-rules", "-token-accessor", argument).out == NEW
    assert consul("acl", "translate-rules", "-token-accessor", "zz").err == "No such token ID with prefix: zz\n"


def test_the_secret_of_an_old_token_is_what_asks_for_its_rules(consul: Consul, stub: StubAgent) -> None:
    stub.on("GET /v1/acl/token/self", {"Rules": OLD})
    assert consul("acl", "translate-rules", "-token=other", "-token-secret", ACCESSOR).out == NEW
    assert stub.requests[-1].headers["X-Consul-Token"] == ACCESSOR


def test_a_token_without_rules_of_its_own_is_told(consul: Consul, stub: StubAgent) -> None:
    stub.on(f"GET /v1/acl/token/{ACCESSOR}", {"AccessorID": ACCESSOR})
    assert consul("acl", "translate-rules", "-token-accessor", ACCESSOR) == (
        1,
        "",
        "Token is not a legacy token with rules\n",
    )
