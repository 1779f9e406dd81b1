"""A full disk, a failing sync and a slow disk under a real raftd."""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lictor.state.commands import KV
from tests.needs import missing
from tests.raftd.servers import Client, ServerProcess, eventually, keys_in, leader_of

DISK_BYTES = 24 << 20
FAULTS = """
import os, sys, time
real = os.fdatasync
def fdatasync(descriptor):
    if os.path.exists(sys.argv[1] + ".sync-fails"):
        raise OSError(5, "Input/output error")
    if os.path.exists(sys.argv[1] + ".sync-is-slow"):
        time.sleep(0.3)
    real(descriptor)
os.fdatasync = fdatasync
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of DISK_BYTES, where mounting is allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "lictor-test", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        missing("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(path: Path) -> None:
    """Write zeros until the disk is full."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        with pytest.raises(OSError, match="No space left"):
            while True:
                os.write(descriptor, b"\0" * 4096)
    finally:
        os.close(descriptor)


async def test_a_full_disk_refuses_writes_and_resumes_without_loss(small_disk: Path) -> None:
    with ServerProcess(small_disk, 51, 1) as server:
        client = Client(server)
        await leader_of([client])
        await client.put(b"before", b"v")
        ballast = small_disk / "ballast"
        fill(ballast)
        acknowledged = {b"before"}
        errors: list[str] = []
        waiting: list[asyncio.Task[None]] = []

        async def put(key: bytes) -> None:
            (outcome,) = await client.propose(KV("set", key, b"x" * 100_000))
            if outcome.error:
                errors.append(outcome.error)
            else:
                acknowledged.add(key)

        async def refused() -> bool:
            waiting.append(asyncio.create_task(put(b"k%d" % len(waiting))))
            status = await client.status()
            return status is not None and bool(status.write_error) and bool(errors)

        await eventually(refused, 30)
        status = await client.status()
        assert status is not None and "No space left" in status.write_error
        assert all("No space left" in error for error in errors)
        ballast.unlink()

        async def resumed() -> bool:
            (outcome,) = await client.propose(KV("set", b"after", b"v"))
            return not outcome.error

        await eventually(resumed, 30)
        await asyncio.gather(*waiting)
        acknowledged.add(b"after")
        server.kill()
        server.start()
        await leader_of([client])
        await client.barrier()
        assert acknowledged <= keys_in(server).keys()
        await client.close()


async def test_a_failing_sync_ends_the_process_without_an_answer(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, 52, 1, prelude=FAULTS) as server:
        client = Client(server)
        await leader_of([client])
        await client.put(b"before", b"v")
        fault = Path(str(server.directory / "run" / "config.json") + ".sync-fails")
        fault.touch()
        with pytest.raises(Exception, match=r"(?i)closed|unavailable|ended|socket|reset"):
            await client.put(b"lost", b"v")
        assert server.daemons["raftd"].wait(20) == 1
        assert "fdatasync failed: Input/output error" in server.log()
        fault.unlink()
        server.start()
        await leader_of([client])
        await client.barrier()
        assert b"before" in keys_in(server)
        await client.close()


async def test_on_a_slow_disk_writes_share_syncs_and_reads_go_on(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, 53, 1, prelude=FAULTS) as server:
        client = Client(server)
        await leader_of([client])
        fault = Path(str(server.directory / "run" / "config.json") + ".sync-is-slow")
        fault.touch()
        started = time.monotonic()
        writes = [asyncio.create_task(client.put(b"k%d" % number, b"v")) for number in range(50)]
        await client.barrier()
        barrier_s = time.monotonic() - started
        await asyncio.gather(*writes)
        # One by one, fifty syncs would take fifteen seconds.
        assert time.monotonic() - started < 7
        assert barrier_s < 2
        await client.close()
