"""An archive made by Consul 1.7.2: everything in it is kept, shown as Consul showed it, and written back."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lictor.state import render
from lictor.state.consul_archive import ArchiveError, load_archive, write_archive
from lictor.state.memory import MemoryStore
from lictor.state.queries import acl, catalog, config, health, intention, kv, operator, prepared, session
from lictor.state.writer import read_index

DATA = Path(__file__).parent / "data"
ARCHIVE = (DATA / "consul-1.7.2.snap").read_bytes()
EXPECTED: dict[str, Any] = json.loads((DATA / "consul-1.7.2.json").read_text())["reads"]
LAST_INDEX = 133


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    loaded = MemoryStore()
    meta = load_archive(loaded, io.BytesIO(ARCHIVE))
    assert (meta.index, meta.term) == (134, 2)
    assert meta.servers[0].address == "127.0.0.1:8593"
    return loaded


def _without_catalog_indexes(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_catalog_indexes(item)
            for key, item in value.items()
            if key not in ("CreateIndex", "ModifyIndex")
        }
    if isinstance(value, list):
        return [_without_catalog_indexes(item) for item in value]
    return value


def _sorted(value: Any) -> Any:
    return sorted(value, key=lambda item: json.dumps(item, sort_keys=True))


def test_keys_and_sessions_keep_their_indexes(store: MemoryStore) -> None:
    pairs = kv.list_prefix(store, b"")
    assert json.loads(render.kv_entries(pairs.value)) == EXPECTED["/v1/kv/?recurse"]
    assert pairs.index == read_index(store, "kvs") == 121
    assert json.loads(render.sessions(session.list_all(store).value)) == EXPECTED["/v1/session/list"]


def test_catalog_objects_take_the_archives_last_index(store: MemoryStore) -> None:
    nodes = json.loads(render.nodes(catalog.nodes(store).value))
    assert _without_catalog_indexes(nodes) == _without_catalog_indexes(EXPECTED["/v1/catalog/nodes"])
    assert {node["ModifyIndex"] for node in nodes} == {LAST_INDEX}
    services = json.loads(render.services(catalog.services(store).value))
    expected = EXPECTED["/v1/catalog/services"]
    assert {name: sorted(tags) for name, tags in services.items()} == {
        name: sorted(tags) for name, tags in expected.items()
    }
    checks = json.loads(render.checks(health.state(store, "any").value))
    assert _sorted(_without_catalog_indexes(checks)) == _sorted(
        _without_catalog_indexes(EXPECTED["/v1/health/state/any"])
    )
    assert catalog.services(store).index == 119


@pytest.mark.parametrize("path", [path for path in EXPECTED if path.startswith("/v1/catalog/node/")])
def test_a_node_is_shown_as_before(store: MemoryStore, path: str) -> None:
    found = catalog.node_services(store, path.rpartition("/")[2]).value
    assert _without_catalog_indexes(json.loads(render.node_services(found))) == _without_catalog_indexes(EXPECTED[path])


def test_queries_intentions_and_configuration_are_shown_as_before(store: MemoryStore) -> None:
    assert json.loads(render.queries(prepared.list_all(store).value)) == EXPECTED["/v1/query"]
    assert json.loads(render.intentions(intention.list_all(store).value)) == EXPECTED["/v1/connect/intentions"]
    for kind in ("service-defaults", "proxy-defaults"):
        entries = config.entries(store, kind).value
        assert json.loads(render.config_entries(entries)) == EXPECTED[f"/v1/config/{kind}"]
    autopilot = operator.autopilot(store).value
    assert autopilot is not None
    assert json.loads(render.autopilot(autopilot)) == EXPECTED["/v1/operator/autopilot/configuration"]
    ca_config = operator.ca_config(store).value
    assert ca_config is not None
    roots = json.loads(render.ca_roots(operator.ca_roots(store).value, ca_config.cluster_id))
    assert roots == EXPECTED["/v1/connect/ca/roots"]


def test_access_control_records_are_kept(store: MemoryStore) -> None:
    tokens = {token.accessor_id: token for token in acl.tokens(store).value}
    shown = EXPECTED["/v1/acl/tokens"]
    assert set(tokens) == {token["AccessorID"] for token in shown}
    for expected in shown:
        token = tokens[expected["AccessorID"]]
        assert [{"ID": link.id, "Name": link.name} for link in token.policies] == expected.get("Policies", [])
        assert [{"ID": link.id, "Name": link.name} for link in token.roles] == expected.get("Roles", [])
        assert (token.local, token.description) == (expected["Local"], expected["Description"])
        assert render.time_text(token.create_time_ns) == expected["CreateTime"]
        assert base64.b64encode(token.hash).decode() == expected["Hash"]
        assert (token.create_index, token.modify_index) == (expected["CreateIndex"], expected["ModifyIndex"])
    assert acl.token_by_secret(store, "anonymous").value == tokens["00000000-0000-0000-0000-000000000002"]
    policies = {policy.id: policy for policy in acl.policies(store).value}
    assert {policy.name for policy in policies.values()} == {item["Name"] for item in EXPECTED["/v1/acl/policies"]}
    expected_policy = EXPECTED["/v1/acl/policy/ea8f6ec1-a73d-e489-3705-0063dafe57f5"]
    assert policies[expected_policy["ID"]].rules == expected_policy["Rules"]
    (role,) = acl.roles(store).value
    assert role.service_identities[0].service_name == "web"
    assert acl.bootstrap_index(store) == 5


def test_a_written_archive_loads_into_the_same_state(store: MemoryStore) -> None:
    meta = load_archive(MemoryStore(), io.BytesIO(ARCHIVE))
    file = io.BytesIO()
    write_archive(store, file, msgspec.structs.replace(meta, index=LAST_INDEX), modified_s=1)
    file.seek(0)
    again = MemoryStore()
    assert load_archive(again, file).servers == meta.servers
    assert again.items() == store.items()


def test_an_archive_is_the_same_for_the_same_state(store: MemoryStore) -> None:
    meta = load_archive(MemoryStore(), io.BytesIO(ARCHIVE))
    files = io.BytesIO(), io.BytesIO()
    for file in files:
        write_archive(store, file, meta, modified_s=1)
    assert files[0].getvalue() == files[1].getvalue()


def _repacked(change: dict[str, bytes]) -> io.BytesIO:
    """The archive with some of its files replaced, sums untouched."""
    target = io.BytesIO()
    with (
        tarfile.open(fileobj=gzip.GzipFile(fileobj=io.BytesIO(ARCHIVE))) as source,
        tarfile.open(fileobj=target, mode="w:gz") as packed,
    ):
        for member in source:
            reader = source.extractfile(member)
            assert reader is not None
            content = change.get(member.name, reader.read())
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    target.seek(0)
    return target


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (io.BytesIO(b"this is no snapshot"), "failed to decompress snapshot: gzip: invalid header"),
        (io.BytesIO(b"too short"), "failed to decompress snapshot: unexpected EOF"),
        (io.BytesIO(b""), "failed to decompress snapshot: EOF"),
        (
            io.BytesIO(base64.b64decode("H4sIAAAAAAAA/wMAAAAAAAAAAAA=")),
            'failed to read snapshot file: failed checking integrity of snapshot: file missing for "',
        ),
        (io.BytesIO(ARCHIVE[:1000]), "failed to decompress snapshot: "),
        (
            _repacked({"state.bin": b"x"}),
            'failed to read snapshot file: failed checking integrity of snapshot: hash check failed for "state.bin"',
        ),
    ],
)
def test_a_damaged_archive_is_refused(file: io.BytesIO, problem: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        load_archive(MemoryStore(), file)
    assert str(caught.value).startswith(problem)


def _archive_around(state: bytes) -> io.BytesIO:
    """A sound outside around any state.bin."""
    from lictor.state.consul_archive.archive import ArchiveMeta, write_outside

    file = io.BytesIO()
    write_outside(file, ArchiveMeta("2-1-0", 1, 2), io.BytesIO(state), modified_s=1)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"\xc0",
        b"\x81\xa9LastIndex\x05\x02\xc0",
        b"\x81\xa9LastIndex\x05\x02\x81\xa3Key",
        b"\x81\xa9LastIndex\x05\x63\xc0",
        b"\x81\xa9LastIndex\x05\x0c\x81\xa2ID\xa1x",
        b"\x81\xa9LastIndex\xa1x",
    ],
)
def test_a_state_that_is_not_understood_is_refused(state: bytes) -> None:
    with pytest.raises(ArchiveError, match=r"failed to restore snapshot: state\.bin"):
        load_archive(MemoryStore(), _archive_around(state))


def test_an_unknown_record_that_may_be_skipped_is_skipped() -> None:
    store = MemoryStore()
    load_archive(store, _archive_around(b"\x81\xa9LastIndex\x05" + bytes((128 | 90,)) + b"\xc0"))
    assert store.items() == []
