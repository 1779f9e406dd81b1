"""The web page in a real browser shows the cluster as it is, and follows it without being loaded again."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.browser import Browser, browser
from tools.agents import Agent, make_agent, running, wait_until


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    config = {"performance": {"raft_multiplier": 1}}
    made = make_agent(tmp_path_factory.mktemp("page"), "n1", "-server", "-bootstrap-expect=1", "-ui", config=config)
    with running(made):
        made.wait_leader()
        yield made


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    with browser() as window:
        yield window


def stored(agent: Agent, key: str) -> bytes:
    """A key's value."""
    return base64.b64decode(agent.get(f"/v1/kv/{key}")[0]["Value"] or "")


def test_services_appear_change_and_disappear_without_a_reload(agent: Agent, page: Browser) -> None:
    page.open(f"http://{agent.http}/ui/")
    page.wait_for("consul")
    page.run("window.loadedOnce = true")
    check = {"CheckID": "shop-ttl", "TTL": "1h", "Status": "passing"}
    agent.put("/v1/agent/service/register", {"Name": "shop", "Port": 80, "Tags": ["v7"], "Check": check})
    page.wait_for("shop")
    page.wait_for("v7")
    agent.put("/v1/agent/service/deregister/shop")

    def gone() -> bool:
        return "shop" not in page.text()

    wait_until("the service is gone from the page", gone, 60)
    assert page.run("return window.loadedOnce") is True


def test_nodes_leader_and_members_are_shown(agent: Agent, page: Browser) -> None:
    page.open(f"http://{agent.http}/ui/bj/nodes")
    page.wait_for("n1 passing")
    page.wait_for(f"leader 127.0.0.1:{agent.ports['server']}")
    page.open(f"http://{agent.http}/ui/bj/members")
    assert "n1.bj alive" in page.wait_for("n1 alive")
    page.wait_for("leader healthy")


def test_an_instance_is_reached_from_the_list_and_shows_its_checks(agent: Agent, page: Browser) -> None:
    check = {"CheckID": "till", "Name": "till", "TTL": "1h", "Status": "passing"}
    agent.put("/v1/agent/service/register", {"Name": "cash", "ID": "cash-1", "Port": 81, "Check": check})
    agent.put("/v1/agent/check/fail/till?note=empty%20drawer")
    page.open(f"http://{agent.http}/ui/bj/services")
    page.press("cash")
    page.press("cash-1")
    page.wait_for("empty drawer")
    assert page.path() == "/ui/bj/services/cash/n1/cash-1"
    page.press("History")
    assert "passing critical" in page.wait_for("When From To Why")
    page.run("history.back()")
    page.wait_for("Instance Node Address")
    agent.put("/v1/agent/service/deregister/cash-1")


def test_keys_are_listed_by_folder_and_values_are_never_markup(agent: Agent, page: Browser) -> None:
    agent.put("/v1/kv/app/<b>bold</b>", b"<img src=x onerror=window.attacked=1>")
    agent.put("/v1/kv/app/deep/x", b"1")
    page.open(f"http://{agent.http}/ui/bj/kv/app/")
    text = page.wait_for("deep/")
    assert "<b>bold</b>" in text or "<b>bold" in text
    page.open(f"http://{agent.http}/ui/bj/kv/app/%3Cb%3Ebold%3C/b%3E/edit")
    page.wait_for("Modified at index")
    assert page.run("return document.querySelector('textarea').value") == "<img src=x onerror=window.attacked=1>"
    assert page.run("return window.attacked === undefined") is True


def test_a_key_is_made_changed_and_deleted(agent: Agent, page: Browser) -> None:
    page.open(f"http://{agent.http}/ui/bj/kv/")
    page.press("New key")
    page.fill("key", "lamps/hall")
    page.fill("value", "off")
    page.press("Save")
    page.press("hall")
    page.fill("value", "on")
    page.press("Save")
    wait_until("the key is changed", lambda: stored(agent, "lamps/hall") == b"on", 60)
    page.press("hall")
    page.press("Delete", "form")
    page.press("Delete", "dialog")
    wait_until("the key is gone", lambda: "lamps/hall" not in agent.get("/v1/kv/?keys"), 60)


def test_a_key_changed_meanwhile_is_not_overwritten(agent: Agent, page: Browser) -> None:
    agent.put("/v1/kv/shared", b"first")
    page.open(f"http://{agent.http}/ui/bj/kv/shared/edit")
    page.fill("value", "mine")
    agent.put("/v1/kv/shared", b"theirs")
    page.press("Save")
    page.wait_for("Somebody else changed this meanwhile")
    assert stored(agent, "shared") == b"theirs"


def test_intentions_are_made_and_deleted(agent: Agent, page: Browser) -> None:
    page.open(f"http://{agent.http}/ui/bj/intentions/create")
    page.fill("source", "web")
    page.fill("destination", "db")
    page.press("Save")
    page.wait_for("web allow db")
    page.press("allow")
    page.press("Delete", "form")
    page.press("Delete", "dialog")
    page.wait_for("No intentions match")


def test_without_access_control_the_page_says_so(agent: Agent, page: Browser) -> None:
    page.open(f"http://{agent.http}/ui/bj/settings")
    page.wait_for("Access control is off")
    page.open(f"http://{agent.http}/ui/bj/acls/policies")
    page.wait_for("ACL support disabled")


def test_a_lost_connection_is_said_and_mended(agent: Agent, page: Browser) -> None:
    page.open(f"http://{agent.http}/ui/bj/services")
    page.wait_for("live")
    agent.kill()
    page.wait_for("not connected")
    agent.start()
    agent.wait_http()
    page.wait_for("live")


MASTER = "8f1f5c22-6f0e-4a37-9d4e-4f3a0e0d9f11"


def test_with_access_control_a_token_opens_what_is_denied(tmp_path: Path, page: Browser) -> None:
    config = {
        "performance": {"raft_multiplier": 1},
        "primary_datacenter": "bj",
        "acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": MASTER}},
    }
    guarded = make_agent(tmp_path, "n1", "-server", "-bootstrap-expect=1", "-ui", config=config)
    with running(guarded):
        guarded.wait_leader()
        page.open(f"http://{guarded.http}/ui/bj/acls/policies")
        page.wait_for("Access denied")
        page.open(f"http://{guarded.http}/ui/bj/settings")
        page.fill("token", MASTER)
        page.press("Save")
        page.wait_for("global-management")
        page.open(f"http://{guarded.http}/ui/bj/acls/policies/create")
        page.fill("name", "reader")
        page.fill("rules", 'key_prefix "" { policy = "read" ')
        page.press("Save")
        page.wait_for("Failed to parse ACL rules")
        page.fill("rules", 'key_prefix "" { policy = "read" }')
        page.press("Save")
        page.wait_for("reader")
        page.open(f"http://{guarded.http}/ui/bj/acls/tokens/create")
        page.fill("description", "made in the page")
        page.wait_for("reader")
        page.run("[...document.querySelectorAll('.ticks input')].at(-1).click()")
        page.press("Save")
        assert "made in the page reader" in page.wait_for("made in the page")
