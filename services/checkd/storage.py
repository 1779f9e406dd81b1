"""Documents under the data directory: one JSON file per service, check and TTL state, named by the MD5 of its ID.

The layout and the contents are Consul 1.7's, so a node can be moved over. A file is replaced whole (temporary file,
rename). Registrations are durable when the journal (`checkd.journal`) has synced them, many at a time. A damaged file
is logged and left alone; what it held is lost, nothing else is.
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
from checkd.journal import Entry, Journal, boot_id

FOLDERS = (SERVICES, CHECKS, CHECK_STATES)
FILE_MODE = 0o600
FOLDER_MODE = 0o700
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
TEMPORARY_SUFFIX = ".tmp"
JOURNAL_FOLDER = "checkd"

log = logging.getLogger("agent")


def document_name(key: str) -> str:
    """The file name of an ID."""
    return hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()


class DocumentStore:
    """The files themselves; every call blocks."""

    def __init__(self, data_dir: str | Path) -> None:
        self._root = Path(data_dir)
        self._journal = Journal(self._root / JOURNAL_FOLDER, self._settle)

    def prepare(self) -> None:
        """Make the folders that are missing; put back what an unclean stop of the machine took from the files."""
        for folder in FOLDERS:
            (self._root / folder).mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        this_boot = boot_id()
        missing = self._journal.recover(this_boot)
        for folder, name, document in missing:
            path = self._root / folder / name
            if document is None:
                path.unlink(missing_ok=True)
            else:
                _write(path, json.dumps(document).encode())
        if missing:
            self._settle({(folder, name) for folder, name, _ in missing})
            log.warning("Registrations put back from the journal after an unclean stop: documents=%d", len(missing))
        self._journal.reset(this_boot)

    def close(self) -> None:
        """Sync what is not yet; call it last. Raises OSError."""
        self._journal.close()

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
        """Write and remove documents, states of checks not durably; raises OSError for the first that cannot be."""
        entries: list[Entry] = []
        try:
            for change in changes:
                name = document_name(change.key)
                path = self._root / change.folder / name
                document = None if isinstance(change, DropDocument) else change.document
                if document is None:
                    path.unlink(missing_ok=True)
                else:
                    _write(path, json.dumps(document).encode())
                if change.folder != CHECK_STATES:
                    entries.append((change.folder, name, document))
        finally:
            self._journal.append(entries)

    def drop_file(self, folder: str, name: str) -> None:
        """Remove a file by its own name."""
        (self._root / folder / name).unlink(missing_ok=True)

    def _settle(self, documents: set[tuple[str, str]]) -> None:
        """Sync the files of these documents, and their folders."""
        for folder, name in documents:
            try:
                _sync(self._root / folder / name, os.O_RDONLY)
            except FileNotFoundError:
                continue  # Removed meanwhile.
        for folder in {folder for folder, _ in documents}:
            _sync(self._root / folder, os.O_RDONLY | os.O_DIRECTORY)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(temporary, path)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._store.close)
        except OSError as error:
            log.error("Failed persisting: error=%s", json.dumps(str(error)))
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
