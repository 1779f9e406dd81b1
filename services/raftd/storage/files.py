"""The few system calls that storage makes, in one replaceable object: tests inject errors here."""

import errno
import os
from pathlib import Path

from raftd.storage.errors import DiskFailedError, DiskFullError, StorageError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_PREALLOCATION = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
FILE_MODE = 0o600


def write_failure(path: Path, what: str, error: OSError) -> StorageError:
    """The error to raise for a failed write, allocation or creation."""
    text = f"{path}: {what} failed: {error.strerror}"
    return DiskFullError(text) if error.errno in _FULL else DiskFailedError(text)


class Files:
    """Writing and syncing. Raises DiskFullError and DiskFailedError."""

    def __init__(self, durable: bool = True) -> None:
        """`durable` off: nothing is synced (development mode, whose data does not outlive the agent)."""
        self.durable = durable

    def create(self, path: Path) -> int:
        """Open a new or emptied file for reading and writing."""
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise write_failure(path, "creation", error) from error

    def write(self, descriptor: int, path: Path, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""
        rest = memoryview(data)
        try:
            while rest:
                count = os.pwrite(descriptor, rest, offset)
                rest = rest[count:]
                offset += count
        except OSError as error:
            raise write_failure(path, "write", error) from error

    def preallocate(self, descriptor: int, path: Path, size_bytes: int) -> None:
        """Extend the file with zeros, so that later syncs need not write its size; where the system can."""
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)
        except OSError as error:
            if error.errno not in _NO_PREALLOCATION:
                raise write_failure(path, "preallocation", error) from error

    def sync(self, descriptor: int, path: Path) -> None:
        """Force data to disk. Any error is final: see DiskFailedError."""
        if not self.durable:
            return
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            raise DiskFailedError(f"{path}: fdatasync failed: {error.strerror}") from error

    def sync_directory(self, path: Path) -> None:
        """Force the names in a directory to disk."""
        if not self.durable:
            return
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise DiskFailedError(f"{path}: fsync of the directory failed: {error.strerror}") from error

    def rename(self, source: Path, target: Path) -> None:
        """Give a finished file its final name, durably."""
        try:
            os.replace(source, target)
        except OSError as error:
            raise write_failure(target, "rename", error) from error
        self.sync_directory(target.parent)

    def write_whole(self, path: Path, content: bytes) -> None:
        """Replace a small file: after a crash it has the old content or the new."""
        temporary = path.with_name(f".{path.name}.new")
        descriptor = self.create(temporary)
        try:
            self.write(descriptor, temporary, content, 0)
            self.sync(descriptor, temporary)
        finally:
            os.close(descriptor)
        self.rename(temporary, path)
