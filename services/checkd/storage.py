"""Documents under the data directory: one JSON file per service, check and TTL state, named by the MD5 of its ID.

The layout and the contents are Consul 1.7's, so a node can be moved over. A file is replaced whole (temporary file,
fsync, rename). A damaged file is logged and left alone; what it held is lost, nothing else is.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from checkd.core.effects import CHECK_STATES, CHECKS, SERVICES, DropDocument, SaveDocument

FOLDERS = (SERVICES, CHECKS, CHECK_STATES)
FILE_MODE = 0o600
FOLDER_MODE = 0o700
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
TEMPORARY_SUFFIX = ".tmp"

log = logging.getLogger("agent")


def document_name(key: str) -> str:
    """The file name of an ID."""
    return hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()


class DocumentStore:
    """The files themselves; every call blocks."""

    def __init__(self, data_dir: str | Path) -> None:
        self._root = Path(data_dir)

    def prepare(self) -> None:
        """Make the folders that are missing."""
        for folder in FOLDERS:
            (self._root / folder).mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)

    def read_all(self, folder: str) -> list[tuple[str, dict[str, Any]]]:
        """File name and contents of every readable document, in the order of names; damaged ones are logged."""
        found = []
        for path in sorted((self._root / folder).iterdir()):
            if path.is_dir():
                continue
            if path.name.endswith(TEMPORARY_SUFFIX):
                log.warning("Ignoring temporary file: file=%s", path)
                continue
            try:
                if path.stat().st_size > MAX_DOCUMENT_BYTES:
                    raise ValueError("the file is too large")
                document = json.loads(path.read_bytes())
                if not isinstance(document, dict):
                    raise ValueError("the file holds no object")
            except (OSError, ValueError) as error:
                log.error("Failed decoding file: file=%s error=%s", path, json.dumps(str(error)))
                continue
            found.append((path.name, document))
        return found

    def apply(self, changes: Iterable[SaveDocument | DropDocument]) -> None:
        """Write and remove documents; raises OSError for the first that cannot be."""
        touched = set()
        for change in changes:
            path = self._root / change.folder / document_name(change.key)
            if isinstance(change, DropDocument):
                path.unlink(missing_ok=True)
            else:
                self._write(path, json.dumps(change.document).encode(), durable=change.folder != CHECK_STATES)
            if change.folder != CHECK_STATES:
                touched.add(path.parent)
        for folder in touched:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def drop_file(self, folder: str, name: str) -> None:
        """Remove a file by its own name."""
        (self._root / folder / name).unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes, durable: bool) -> None:
        temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)


class DocumentWriter:
    """Writes documents off the event loop: while one batch is being written, the next gathers."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkd-store")
        self._pending: dict[tuple[str, str], SaveDocument | DropDocument] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None

    def submit(self, change: SaveDocument | DropDocument) -> None:
        """Write this soon; a later change of the same document replaces it."""
        self._pending.pop((change.folder, change.key), None)
        self._pending[change.folder, change.key] = change
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def written(self) -> None:
        """Return when all that was submitted is on disk; raises OSError when it could not be written."""
        if self._task is None:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    async def close(self) -> None:
        """Write what is left and end."""
        if self._task is not None:
            await self._task
        self._executor.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._pending or self._waiters:
                batch, self._pending = list(self._pending.values()), {}
                waiters, self._waiters = self._waiters, []
                try:
                    await loop.run_in_executor(self._executor, self._store.apply, batch)
                except (OSError, ValueError) as error:
                    # ValueError: a document that cannot be written must not keep others from being written.
                    log.error("Failed persisting: error=%s", json.dumps(str(error)))
                    outcome: OSError | None = error if isinstance(error, OSError) else OSError(str(error))
                else:
                    outcome = None
                for waiter in waiters:
                    if waiter.done():
                        continue
                    if outcome is None:
                        waiter.set_result(None)
                    else:
                        waiter.set_exception(outcome)
        finally:
            self._task = None
