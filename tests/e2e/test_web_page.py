"""The web page in a real browser shows the cluster as it is, and follows it without being loaded again."""

from collections.abc import Iterator

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
    page.open(f"http://{agent.http}/ui/#/nodes")
    text = page.wait_for("n1 passing")
    assert f"leader 127.0.0.1:{agent.ports['server']}" in text
    page.open(f"http://{agent.http}/ui/#/members")
    assert "n1.bj alive" in page.wait_for("n1 alive")


def test_keys_are_listed_by_folder_and_values_shown_as_text(agent: Agent, page: Browser) -> None:
    agent.put("/v1/kv/app/<b>bold</b>", b"<img src=x onerror=window.attacked=1>")
    agent.put("/v1/kv/app/deep/x", b"1")
    page.open(f"http://{agent.http}/ui/#/kv/app/")
    text = page.wait_for("deep/")
    assert "<b>bold</b>" in text or "<b>bold" in text
    page.open(f"http://{agent.http}/ui/#/key/app/%3Cb%3Ebold%3C%2Fb%3E")
    page.wait_for("<img src=x onerror=window.attacked=1>")
    assert page.run("return window.attacked === undefined") is True


def test_a_lost_connection_is_said_and_mended(agent: Agent, page: Browser) -> None:
    page.open(f"http://{agent.http}/ui/#/services")
    page.wait_for("live")
    agent.kill()
    page.wait_for("not connected")
    agent.start()
    agent.wait_http()
    page.wait_for("live")
