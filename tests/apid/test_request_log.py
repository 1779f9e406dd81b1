"""With debug output every request is in the log once, kept answers included, and never with its token."""

import re
from pathlib import Path

from tools.agents import make_agent, running, wait_until

SECRET = "0cb8d5de-2f1e-4a9b-8a34-6d2f1f3a0c77"
ASKED = (
    r"method=GET url=\S*/v1/catalog/services\?token=\S*hidden\S*&asked\S* from=127\.0\.0\.1 "
    r"latency=[\d.]+(µs|ms|s)"
)


def test_every_request_is_logged_once_without_its_token(tmp_path: Path) -> None:
    config = {"performance": {"raft_multiplier": 1}, "log_level": "debug"}
    agent = make_agent(tmp_path / "n1", "n1", "-server", "-bootstrap-expect=1", config=config)
    with running(agent):
        agent.wait_leader()
        for _ in range(3):
            agent.get(f"/v1/catalog/services?token={SECRET}&asked")
        agent.put("/v1/kv/logged", b"v")

        def lines() -> list[str]:
            return re.findall(r"\[DEBUG\] agent\.http: Request finished: (method=.*)", agent.log())

        wait_until("the last request is logged", lambda: any("/v1/kv/logged" in line for line in lines()))
        asked = [line for line in lines() if "asked" in line]
        assert len(asked) == 3
        for line in asked:
            assert re.fullmatch(ASKED, line), line
        assert SECRET not in agent.log()
