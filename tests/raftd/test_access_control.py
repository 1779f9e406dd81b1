"""What the leader does with access control on: first records, restored archives, expired and legacy tokens."""

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from lictor.config.runtime import AclConfig, AclTokens
from lictor.page import PageReader
from lictor.state.commands import TokenDelete, TokenSet
from lictor.state.consul_archive import write_archive
from lictor.state.consul_archive.archive import ArchiveMeta
from lictor.state.lmdb_store import open_store
from lictor.state.machine import acl as machine
from lictor.state.memory import MemoryStore
from lictor.state.queries import acl
from lictor.state.rows import ACLPolicy, ACLToken
from lictor.state.store import ReadTxn
from lictor.state.writer import Writer
from tests.raftd.servers import Client, ServerProcess, eventually, leader_of
from tests.raftd.test_archives import restore, save

MASTER = "root-secret"
Found = TypeVar("Found")


def secured(tmp_path: Path, number: int, enabled: bool = True, datacenter: str = "") -> ServerProcess:
    server = ServerProcess(tmp_path, number, 1)
    configure(server, enabled=enabled, datacenter=datacenter)
    return server


def configure(server: ServerProcess, master: str = MASTER, enabled: bool = True, datacenter: str = "") -> None:
    acl_config = AclConfig(enabled=enabled, tokens=AclTokens(master=master), enable_token_replication=True)
    server.config = replace(server.config, acl=acl_config, primary_datacenter=datacenter)


def read(server: ServerProcess, query: Callable[[ReadTxn], Found]) -> Found:
    page = PageReader(server.directory)
    generation = page.read().generation
    page.close()
    store = open_store(server.directory / "raft" / f"state-{generation}", readonly=True)
    try:
        with store.read() as txn:
            return query(txn)
    finally:
        store.close()


def descriptions(server: ServerProcess) -> list[str]:
    return sorted(token.description for token in read(server, acl.tokens).value)


async def test_the_first_leader_makes_policy_master_and_anonymous_token_once(tmp_path: Path) -> None:
    with secured(tmp_path, 51) as server:
        client = Client(server)
        await leader_of([client])
        await eventually(lambda: descriptions(server) == ["Anonymous Token", "Master Token"])
        (policy,) = read(server, acl.policies).value
        assert policy.name == "global-management" and policy.rules == machine.MANAGEMENT_RULES
        master = read(server, lambda txn: acl.token_by_secret(txn, MASTER)).value
        assert master is not None and [link.name for link in master.policies] == ["global-management"]
        assert read(server, acl.bootstrap_index) == master.modify_index
        before = read(server, acl.tokens).value
        server.kill()
        server.start()
        await leader_of([client])
        await eventually(lambda: server.log().count("initializing acls") == 2)
        await client.barrier()
        assert read(server, acl.tokens).value == before
        await client.close()


async def test_access_control_can_be_turned_on_and_get_another_master_token_later(tmp_path: Path) -> None:
    with secured(tmp_path, 52, enabled=False) as server:
        client = Client(server)
        await leader_of([client])
        await client.put(b"a", b"1")
        assert read(server, acl.tokens).value == []
        server.kill()
        configure(server)
        server.start()
        await leader_of([client])
        await eventually(lambda: descriptions(server) == ["Anonymous Token", "Master Token"])
        index = read(server, acl.bootstrap_index)
        server.kill()
        configure(server, master="another")
        server.start()
        await leader_of([client])
        await eventually(lambda: descriptions(server) == ["Anonymous Token", "Master Token", "Master Token"])
        assert read(server, acl.bootstrap_index) == index
        await client.close()


async def test_a_secondary_datacenter_makes_none_of_them(tmp_path: Path) -> None:
    with secured(tmp_path, 53, datacenter="elsewhere") as server:
        client = Client(server)
        await leader_of([client])
        hidden = ACLToken("11111111-0000-0000-0000-000000000000", "<hidden>", "copied without its secret")
        await client.propose(TokenSet([hidden]))
        assert descriptions(server) == ["copied without its secret"]
        server.kill()
        server.start()
        await leader_of([client])
        await eventually(lambda: descriptions(server) == [])
        assert read(server, acl.policies).value == []
        await client.close()


async def test_expired_tokens_are_deleted_and_others_stay(tmp_path: Path) -> None:
    with secured(tmp_path, 54) as server:
        client = Client(server)
        await leader_of([client])
        await eventually(lambda: len(descriptions(server)) == 2)
        soon_ns = time.time_ns() + 10**9
        await client.propose(
            TokenSet(
                [
                    ACLToken("a" * 8, "s1", "global", expiration_time_ns=soon_ns),
                    ACLToken("b" * 8, "s2", "local", expiration_time_ns=soon_ns, local=True),
                    ACLToken("c" * 8, "s3", "later", expiration_time_ns=soon_ns + 10**12),
                ]
            )
        )
        assert len(descriptions(server)) == 5
        await eventually(lambda: descriptions(server) == ["Anonymous Token", "Master Token", "later"])
        assert time.time_ns() > soon_ns
        assert "deleting expired ACL tokens: amount=1 locality=local" in server.log()
        await client.close()


async def test_a_restored_archive_keeps_its_tokens_and_gets_the_first_records_again(tmp_path: Path) -> None:
    with secured(tmp_path, 55) as server:
        client = Client(server)
        await leader_of([client])
        await eventually(lambda: len(descriptions(server)) == 2)
        await client.propose(TokenSet([ACLToken("a" * 8, "kept", "kept")]))
        archive = await save(client)
        master = read(server, lambda txn: acl.token_by_secret(txn, MASTER)).value
        assert master is not None
        await client.propose(TokenDelete(["a" * 8, master.accessor_id]), TokenSet([ACLToken("b" * 8, "s", "new")]))
        assert await restore(client, archive) == ""
        await eventually(lambda: descriptions(server) == ["Anonymous Token", "Master Token", "kept"])
        assert read(server, lambda txn: acl.token_by_secret(txn, MASTER)).value == master
        assert await restore(client, old_archive()) == ""
        await eventually(lambda: len(descriptions(server)) == 4)
        await eventually(lambda: all(token.accessor_id for token in read(server, acl.tokens).value))
        assert descriptions(server) == ["Master Token", "nobody", "old boss", "old client"]
        boss = read(server, lambda txn: acl.token_by_secret(txn, "boss")).value
        assert boss is not None and [link.name for link in boss.policies] == ["global-management"]
        await client.close()


def old_archive() -> bytes:
    """An archive with tokens of before Consul 1.4."""
    store = MemoryStore()
    writer = Writer(store)
    writer.index = 5
    for secret, description, kind in (
        ("boss", "old boss", "management"),
        ("user", "old client", "client"),
        ("anonymous", "nobody", "client"),
    ):
        machine.insert_token(writer, ACLToken("", secret, description, type=kind, create_index=5, modify_index=5))
    machine.insert_policy(writer, ACLPolicy("22222222-0000-0000-0000-000000000000", "old"))
    writer.flush()
    file = io.BytesIO()
    write_archive(store, file, ArchiveMeta("id", 5, 1), 0)
    return file.getvalue()
