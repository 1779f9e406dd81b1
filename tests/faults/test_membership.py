"""Servers that leave, come late, come back elsewhere, or come back empty."""

import shutil
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from tests.faults.cluster import leader_of, make_cluster, started
from tests.faults.load import Load
from tests.faults.raftview import peers, raft_address, terms, voters
from tools.agents import Agent, make_agent, wait_until

QUICK: dict[str, Any] = {
    "performance": {"raft_multiplier": 1, "leave_drain_time": "200ms"},
    "autopilot": {"server_stabilization_time": "1s"},
    "gossip_lan": {"probe_interval": "200ms", "probe_timeout": "100ms", "suspicion_mult": 2},
}
"""Faster clocks for Raft, gossip and autopilot, so that seconds show what takes minutes in a real cluster."""

WRITE_GAP_MAX_S = 1.0
pytestmark = pytest.mark.slow


def joining(folder: Path, name: str, to: Agent, *flags: str, host: str = "127.0.0.1") -> Agent:
    """One more server for a cluster that runs; it is not told to expect anybody."""
    config = {**QUICK, "retry_interval": "1s"}
    return make_agent(folder, name, "-server", f"-retry-join={to.lan}", *flags, host=host, config=config)


def value(agent: Agent, key: str) -> str | None:
    """A key read through this agent, consistently; None while that is not possible."""
    try:
        found: str = agent.get(f"/v1/kv/{key}?consistent", 5)[0]["Value"]
    except urllib.error.HTTPError as error:
        error.close()
        return None
    except OSError:
        return None
    return found


def test_a_leader_that_leaves_hands_over_and_writes_go_on_within_a_second(tmp_path: Path) -> None:
    with started(make_cluster(tmp_path, config=QUICK)) as agents:
        leader = leader_of(agents)
        others = [agent for agent in agents if agent is not leader]
        before = max(terms(agents))
        with Load(others, "leave") as load:
            wait_until("the load runs", lambda: len(load.acknowledged) > 50)
            done = leader.cli("leave")
            assert (done.returncode, done.stdout.strip()) == (0, "Graceful leave complete"), done.stderr
            wait_until("it ends", lambda: leader.process is None or leader.process.poll() is not None, 15)
            count = len(load.acknowledged)
            wait_until("writes go on", lambda: len(load.acknowledged) > count + 50)
        assert leader.process is not None and leader.process.returncode == 0
        assert load.write_gap_s < WRITE_GAP_MAX_S
        assert not load.wrong_reads and not load.lost(others[0])
        assert voters(others[0]) == sorted(agent.name for agent in others)
        assert max(terms(others)) == before + 1, "handing over is one election, and there is no other"
        members = {member["Name"]: member["Status"] for member in others[0].get("/v1/agent/members")}
        assert members[leader.name] == 3, "left, not failed"


def test_after_every_server_has_left_they_start_again_with_a_leader_and_all_data(tmp_path: Path) -> None:
    with started(make_cluster(tmp_path, config=QUICK)) as agents:
        agents[0].put("/v1/kv/kept", b"value")
        for agent in agents:
            assert agent.cli("leave").returncode == 0
            wait_until("it ends", lambda agent=agent: agent.process.poll() is not None, 15)
        for agent in agents:
            agent.start()
        for agent in agents:
            agent.wait_http()
        leader = leader_of(agents)
        for agent in agents:
            assert value(agent, "kept") == "dmFsdWU="
        names = sorted(agent.name for agent in agents)
        wait_until("all vote again", lambda: voters(leader) == names, 30)


def test_servers_that_leave_all_at_once_start_again_with_a_leader_and_all_data(tmp_path: Path) -> None:
    with started(make_cluster(tmp_path, config={**QUICK, "leave_on_terminate": True})) as agents:
        agents[0].put("/v1/kv/kept", b"value")
        for agent in agents:
            assert agent.process is not None
            agent.process.terminate()
        for agent in agents:
            wait_until("it ends", lambda agent=agent: agent.process.poll() is not None, 25)
        for agent in agents:
            agent.start()
        for agent in agents:
            agent.wait_http()
        leader = leader_of(agents)
        for agent in agents:
            assert value(agent, "kept") == "dmFsdWU="
        names = sorted(agent.name for agent in agents)
        wait_until("all vote again", lambda: voters(leader) == names, 30)


def test_a_late_server_gets_its_vote_when_it_was_stable_long_enough(tmp_path: Path) -> None:
    with started(make_cluster(tmp_path, config=QUICK)) as agents:
        agents[0].put("/v1/kv/kept", b"value")
        late = joining(tmp_path / "late", "late", agents[0])
        agents.append(late)
        late.start()
        leader = leader_of(agents[:3])
        seen: list[bool] = []

        def has_vote() -> bool:
            found = [peer.voter for peer in peers(leader) if peer.name == "late"]
            seen.extend(found)
            return found == [True]

        wait_until("it votes", has_vote, 30)
        assert seen[0] is False, "at first it has none"
        late.wait_leader()
        assert late.get("/v1/kv/kept?stale")[0]["Value"] == "dmFsdWU="


def test_dead_servers_are_taken_out_but_never_so_many_that_a_quorum_is_lost(tmp_path: Path) -> None:
    with started(make_cluster(tmp_path, config=QUICK)) as agents:
        agents[0].put("/v1/kv/kept", b"value")
        leader = leader_of(agents)
        first, second = (agent for agent in agents if agent is not leader)
        first.kill()
        expected = sorted((leader.name, second.name))
        wait_until("the dead one is taken out", lambda: voters(leader) == expected, 30)
        second.kill()
        members = "/v1/agent/members"
        wait_until(
            "gossip sees it dead",
            lambda: {m["Name"]: m["Status"] for m in leader.get(members)}[second.name] == 4,
            30,
        )
        # Two voters remain, and one of them is dead: removing it would leave a server that decides alone.
        wait_until("nobody leads", lambda: not leader.get("/v1/status/leader"), 20)
        second.start()
        wait_until("it goes on with both", lambda: value(leader, "kept") == "dmFsdWU=", 30)
        assert voters(leader) == expected
        first.start()
        wait_until("the first is back", lambda: len(voters(leader)) == 3, 40)
        assert value(first, "kept") == "dmFsdWU="


def moved(agent: Agent, host: str, *, wiped: bool, peers_lan: str) -> Agent:
    """The same server, stopped before, at another address."""
    if wiped:
        shutil.rmtree(agent.data_dir)
    fresh = joining(agent.folder, agent.name, agent, f"-retry-join={peers_lan}", host=host)
    fresh.start()
    return fresh


def test_a_server_that_comes_back_with_another_address_votes_again_under_its_old_id(tmp_path: Path) -> None:
    with started(make_cluster(tmp_path, config=QUICK)) as agents:
        leader = leader_of(agents)
        place, victim = next((i, agent) for i, agent in enumerate(agents) if agent is not leader)
        before = {peer.name: peer.id for peer in peers(leader)}
        victim.stop()
        leader.put("/v1/kv/while-away", b"value")
        agents[place] = fresh = moved(victim, "127.0.0.77", wiped=False, peers_lan=leader.lan)

        def moved_in() -> bool:
            found = {peer.name: peer for peer in peers(leader)}.get(victim.name)
            return found is not None and found.voter and found.address == raft_address(fresh)

        wait_until("it votes from its new address", moved_in, 60)
        assert {peer.name: peer.id for peer in peers(leader)} == before
        wait_until("it has what it missed", lambda: value(fresh, "while-away") == "dmFsdWU=", 20)
        node = wait_until(
            "the catalog has its new address",
            lambda: (found := leader.get(f"/v1/catalog/node/{victim.name}")) and found["Node"]["Address"] == fresh.host,
            20,
        )
        assert node


def test_a_server_whose_disk_was_wiped_rejoins_under_its_name_and_its_old_id_is_gone(tmp_path: Path) -> None:
    with started(make_cluster(tmp_path, config=QUICK)) as agents:
        agents[0].put("/v1/kv/kept", b"value")
        leader = leader_of(agents)
        victim = next(agent for agent in agents if agent is not leader)
        old_id = {peer.name: peer.id for peer in peers(leader)}[victim.name]
        victim.kill()
        shutil.rmtree(victim.data_dir)
        victim.start()
        names = sorted(agent.name for agent in agents)

        def replaced() -> bool:
            present = peers(leader)
            return old_id not in {peer.id for peer in present} and [p.voter for p in present] == [True] * 3

        wait_until("its new id votes and the old one is gone", replaced, 60)
        assert voters(leader) == names
        wait_until("it has the data", lambda: value(victim, "kept") == "dmFsdWU=", 20)
        own_id = victim.get("/v1/agent/self")["Config"]["NodeID"]
        path = f"/v1/catalog/node/{victim.name}"
        wait_until("the catalog has its new ID", lambda: leader.get(path)["Node"]["ID"] == own_id, 10)


def test_all_three_servers_are_replaced_one_by_one_with_other_addresses_and_empty_disks(tmp_path: Path) -> None:
    """New names, as auto-scaling groups do it; under load, and nothing acknowledged is lost."""
    with started(make_cluster(tmp_path, config=QUICK)) as agents:
        with Load(agents, "replaced", writers=2) as load:
            wait_until("the load runs", lambda: len(load.acknowledged) > 50)
            for number in range(3):
                old = agents[0]
                fresh = joining(tmp_path / f"new{number}", f"new{number}", agents[1], host=f"127.0.1.{number + 1}")
                agents.append(fresh)
                load.agents = [agent for agent in agents if agent is not fresh]
                fresh.start()
                fresh.wait_leader()
                # All four, not the new one alone: one that busy neighbours took for dead may be on its way back.
                four = sorted(agent.name for agent in agents)
                wait_until("all four vote", lambda fresh=fresh, four=four: voters(fresh) == four, 60)
                load.agents = agents[1:]
                old.kill()
                agents.remove(old)
                expected = sorted(agent.name for agent in agents)
                wait_until("the old one is out", lambda expected=expected: voters(agents[-1]) == expected, 60)
        assert {agent.name for agent in agents} == {"new0", "new1", "new2"}
        leader_of(agents)
        for agent in agents:
            assert not load.lost(agent)
        assert not load.wrong_reads


def test_a_replacement_with_bootstrap_expect_does_not_start_a_cluster_of_its_own_beside_one_it_can_see(
    tmp_path: Path,
) -> None:
    """Replacements are often started with the flags of the first day."""
    with started(make_cluster(tmp_path, config=QUICK)) as agents:
        agents[0].put("/v1/kv/kept", b"value")
        late = joining(tmp_path / "late", "late", agents[0], "-bootstrap-expect=3")
        agents.append(late)
        late.start()
        wait_until("it votes in the old cluster", lambda: "late" in voters(agents[0]), 40)
        assert value(late, "kept") == "dmFsdWU="
