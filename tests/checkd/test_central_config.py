"""What configuration entries add to proxies."""

from __future__ import annotations

from pathlib import Path

from checkd.core.central_config import merged
from checkd.core.records import Service
from tests.checkd.daemon import make_config, running
from tests.checkd.fake_apid import FakeApid
from tests.checkd.waiting import until


def proxy(**fields: object) -> Service:
    destination = {"DestinationServiceName": "web", "DestinationServiceID": "web-1"}
    return Service(kind="connect-proxy", service_id="p", name="p", proxy={**destination, **fields})


def test_the_registration_wins_then_the_service_then_all_proxies() -> None:
    shared = {"Config": {"protocol": "tcp", "a": 1, "deep": {"x": 1, "y": 1}}, "MeshGateway": {"Mode": "local"}}
    own = {"web": {"Protocol": "http"}, "db": {"Protocol": "grpc"}}
    given = proxy(Config={"a": 2, "deep": {"x": 2}}, Upstreams=[{"DestinationName": "db"}, {"DestinationName": "zz"}])
    result = merged(given, shared, own).proxy
    assert result is not None
    assert result["Config"] == {"a": 2, "deep": {"x": 2, "y": 1}, "protocol": "http"}
    assert result["MeshGateway"] == {"Mode": "local"}
    assert [upstream["Config"]["protocol"] for upstream in result["Upstreams"]] == ["grpc", "tcp"]


def test_other_services_and_absent_entries_change_nothing() -> None:
    plain = Service(service_id="web", name="web")
    assert merged(plain, {"Config": {"a": 1}}, {"web": {"Protocol": "http"}}) is plain
    assert merged(proxy(), None, {}) == proxy()
    for_many = proxy(DestinationServiceID="")
    assert merged(for_many, {"Config": {"a": 1}}, {"web": {"Protocol": "http"}}) is for_many


async def test_an_entry_written_later_reaches_a_registered_proxy_and_its_removal_too(tmp_path: Path) -> None:
    apid = FakeApid(tmp_path)
    await apid.start()
    config = make_config(tmp_path, enable_central_service_config=True)
    try:
        async with running(config) as (daemon, client):
            await client.service(Name="web", Port=5, Connect={"SidecarService": {}})
            state = daemon.driver.node.state
            await until("the proxy arrives", lambda: "web-sidecar-proxy" in apid.services.get("n1", {}))
            await apid.write_config("service-defaults", {"Kind": "service-defaults", "Name": "web", "Protocol": "http"})
            sidecar = state.services["web-sidecar-proxy"]
            await until("it is merged", lambda: (sidecar.service.proxy or {}).get("Config") == {"protocol": "http"})
            catalog = apid.services["n1"]
            await until("it is synced", lambda: "Config" in catalog["web-sidecar-proxy"]["Proxy"])
            await apid.write_config("service-defaults", None)
            await until("it is taken back", lambda: "Config" not in catalog["web-sidecar-proxy"]["Proxy"])
    finally:
        await apid.stop()
