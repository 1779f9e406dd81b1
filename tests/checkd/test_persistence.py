"""What survives: kill -9, damaged files, definitions in files."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from checkd.core.effects import SERVICES, DropDocument
from checkd.restore import FileDefinitionError
from checkd.storage import document_name
from lictor.config.runtime import ChecksConfig
from tests.checkd.daemon import Client, make_config, process, running
from tests.checkd.waiting import until


async def test_acknowledged_registrations_survive_kill_nine(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    client = Client(tmp_path)
    async with process(config) as child:
        await until("it serves", lambda: (tmp_path / "run" / "checkd.json").exists())
        for number in range(10):
            assert (await client.service(Name=f"s{number}", Port=number, Check={"TTL": "1h"}, token="tok"))[0] == 200
        await client.check(ID="alone", Name="alone", TCP="localhost:1", Interval="1h", Notes="n")
        await client.service(Name="side", Connect={"SidecarService": {}})
        await client.service(Name="gone")
        await client.deregister(service_id="gone")
        services, checks = await client.snapshot()
        child.kill()
        await child.wait()
    await client.close()
    async with running(config) as (daemon, again):
        restored = await again.snapshot()
        assert restored[0] == services
        assert {key: check["Type"] for key, check in restored[1].items()} == {k: c["Type"] for k, c in checks.items()}
        assert daemon.driver.node.state.services["s1"].token == "tok"
        assert daemon.driver.node.state.services["side-sidecar-proxy"].is_sidecar
        await again.deregister(service_id="side")
        assert "side-sidecar-proxy" not in (await again.snapshot())[0]


async def test_a_name_that_is_no_text_is_kept_as_one_and_disturbs_no_other(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    async with running(config) as (daemon, client):
        assert await client.service(Name="\ud800x", Tags=["\udfff"]) == (200, "")
        assert await client.service(Name="next") == (200, "")
        # Whatever a document's name is, one that cannot be written is told to who waits and to nobody later.
        daemon._writer.submit(DropDocument(SERVICES, "\ud800"))
        with pytest.raises(OSError, match="surrogates"):
            await daemon._writer.written()
        assert await client.service(Name="last") == (200, "")
    async with running(config) as (_, again):
        assert set((await again.snapshot())[0]) == {"\ufffdx", "next", "last"}


async def test_a_ttl_status_is_restored_until_it_expires_and_other_checks_start_critical(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    async with running(config) as (_, client):
        for name, ttl in (("long", "1h"), ("short", "1s")):
            await client.check(ID=name, Name=name, TTL=ttl)
            await client.ttl(name, "passing", f"{name} ok")
        await client.check(ID="tcp", Name="tcp", TCP="localhost:1", Interval="1h", Status="passing")
    (tmp_path / "run" / "checkd.status").unlink(missing_ok=True)
    state = tmp_path / "checks" / "state" / document_name("short")
    expired = json.loads(state.read_bytes()) | {"Expires": int(time.time()) - 1}
    state.write_text(json.dumps(expired))
    async with running(config) as (_, client):
        _, checks = await client.snapshot()
    seen = {key: (check["Status"], check["Output"]) for key, check in checks.items()}
    assert seen == {"long": ("passing", "long ok"), "short": ("critical", ""), "tcp": ("critical", "")}
    assert not state.exists()


async def test_statuses_outlive_this_process_alone(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    async with running(config) as (_, client):
        await client.check(ID="tcp", Name="tcp", TCP="localhost:1", Interval="1h", Status="passing")
        file = tmp_path / "run" / "checkd.status"
        await until("the statuses are written", lambda: file.exists() and b"tcp" in file.read_bytes())
    async with running(config) as (_, client):
        assert (await client.snapshot())[1]["tcp"]["Status"] == "passing"
    content = json.loads(file.read_bytes())
    file.write_text(json.dumps(content | {"supervisor": os.getppid() + 1}))
    async with running(config) as (_, client):
        assert (await client.snapshot())[1]["tcp"]["Status"] == "critical"


async def test_a_damaged_file_is_logged_and_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = make_config(tmp_path)
    async with running(config) as (_, client):
        for name in ("good", "bad", "odd"):
            await client.service(Name=name, Check={"TTL": "1h"})
    (tmp_path / "services" / document_name("bad")).write_bytes(b'{"Service": {"ID"')
    (tmp_path / "services" / document_name("odd")).write_bytes(b'{"Service": {"ID": 5, "Service": "odd"}}')
    (tmp_path / "checks" / document_name("service:odd")).write_bytes(b"[]")
    (tmp_path / "checks" / "state" / "junk").write_bytes(b"{}")
    (tmp_path / "services" / "half.tmp").write_bytes(b"")
    async with running(config) as (_, client):
        services, checks = await client.snapshot()
    assert set(services) == {"good"} and set(checks) == {"service:good"}
    assert "Failed decoding file" in caplog.text and "Failed decoding service file" in caplog.text
    assert 'Failed to restore check: check=service:bad error="ServiceID \\"bad\\" does not exist"' in caplog.text


async def test_a_definition_in_a_file_wins_and_removes_the_persisted_one(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    async with running(config) as (_, client):
        await client.service(Name="web", Port=1, Check={"CheckID": "c", "TTL": "1h"})
        await client.check(ID="n", Name="n", TTL="1h", Notes="api")
    files = make_config(
        tmp_path,
        services=({"id": "web", "name": "web", "port": 2, "check": {"checkid": "c", "ttl": "2h"}},),
        checks=({"id": "n", "name": "n", "ttl": "1h", "notes": "file", "status": "warning"},),
    )
    async with running(files) as (_, client):
        services, checks = await client.snapshot()
    assert services["web"]["Port"] == 2 and checks["n"]["Notes"] == "file" and checks["n"]["Type"] == ""
    assert checks["n"]["Status"] == "warning"
    assert list((tmp_path / "services").glob("*")) == []
    assert [path for path in (tmp_path / "checks").iterdir() if path.is_file()] == []


async def test_documents_written_by_consul_are_read(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    service = {
        "Token": "t",
        "Service": {
            "Kind": "",
            "ID": "web1",
            "Service": "web",
            "Tags": ["a"],
            "Address": "",
            "Meta": None,
            "Port": 80,
            "Weights": {"Passing": 1, "Warning": 1},
            "EnableTagOverride": False,
            "Proxy": {"MeshGateway": {}, "Expose": {}},
            "Connect": {},
            "CreateIndex": 0,
            "ModifyIndex": 0,
        },
        "Source": "remote",
    }
    kind = {
        "CheckID": "",
        "Name": "",
        "Status": "",
        "Notes": "",
        "ScriptArgs": None,
        "HTTP": "http://localhost:1",
        "Header": None,
        "Interval": 3600000000000,
        "Timeout": 0,
        "TTL": 0,
        "DeregisterCriticalServiceAfter": 0,
    }
    check = {
        "Check": {"Node": "n1", "CheckID": "service:web1", "Name": "c", "Status": "passing", "ServiceID": "web1"},
        "ChkType": kind,
        "Token": "t",
        "Source": "remote",
    }
    for folder, key, document in (("services", "web1", service), ("checks", "service:web1", check)):
        path = tmp_path / folder / document_name(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))
    async with running(config) as (daemon, client):
        services, checks = await client.snapshot()
        entry = daemon.driver.node.state.checks["service:web1"]
    assert services["web1"]["Port"] == 80 and checks["service:web1"]["Status"] == "critical"
    assert entry.definition is not None and entry.definition.http == "http://localhost:1"


@pytest.mark.parametrize(
    ("definitions", "fault"),
    [
        (
            {"services": ({"name": "a", "check": {"args": ["true"], "interval": "5s"}},)},
            'Failed to register service "a": Scripts are disabled on this agent; to enable, configure '
            "'enable_script_checks' or 'enable_local_script_checks' to true",
        ),
        (
            {"services": ({"name": "a", "check": {"interval": "5s"}},)},
            'Failed to validate checks for service "a": TTL must be > 0 for TTL checks',
        ),
        ({"services": ({"id": "x"},)}, 'Failed to register service "": Service name missing'),
        (
            {"checks": ({"name": "a", "http": "http://x"},)},
            "Failed to register check 'a': Check is not valid: Interval must be > 0 for Script, HTTP, or TCP checks "
            "&{ a     [] http://x map[]    0s    false false   0s 0s 0 0 0s 4096 {}}",
        ),
        (
            {"checks": ({"name": "a", "ttl": "5s", "service_id": "nope"},)},
            "Failed to register check 'a': ServiceID \"nope\" does not exist "
            "&{ a  nope   []  map[]    0s    false false   0s 5s 0 0 0s 4096 {}}",
        ),
    ],
)
async def test_a_wrong_definition_in_a_file_keeps_the_agent_from_starting(
    tmp_path: Path, definitions: dict[str, Any], fault: str
) -> None:
    config = make_config(tmp_path, checks_config=ChecksConfig(), **definitions)
    with pytest.raises(FileDefinitionError) as caught:
        async with running(config):
            raise AssertionError("it started")
    assert str(caught.value) == fault


async def test_a_process_that_follows_another_of_the_same_agent_starts_with_what_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(make_config(tmp_path)) as (_, client):
        await client.check(ID="tcp", Name="tcp", TCP="localhost:1", Interval="1h")
        await until("the statuses are written", (tmp_path / "run" / "checkd.status").exists)
    wrong = make_config(tmp_path, services=({"name": "a", "check": {"interval": "5s"}}, {"name": "b"}))
    async with running(wrong) as (_, client):
        assert set((await client.snapshot())[0]) == {"b"}
    assert "Failed to validate checks" in caplog.text
