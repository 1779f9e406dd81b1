"""The outside of an archive: a gzipped tar of meta.json, state.bin and SHA256SUMS, with every sum checked."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import zlib
from tempfile import TemporaryFile
from typing import IO

import msgspec

META = "meta.json"
STATE = "state.bin"
SUMS = "SHA256SUMS"
CHUNK_BYTES = 1 << 20
GZIP_HEADER_BYTES = 10
META_MAX_BYTES = 1 << 20
SUMS_MAX_BYTES = 1 << 16


class ArchiveError(Exception):
    """The file is no sound archive; the text says which part, as Consul puts it."""


class ArchiveServer(msgspec.Struct, frozen=True, rename="pascal"):
    suffrage: int
    """0: voter, 1: non-voter."""
    id: str = msgspec.field(name="ID")
    address: str


class ArchiveMeta(msgspec.Struct, frozen=True):
    """What the Raft layer knows about the snapshot."""

    id: str
    """`term-index-milliseconds`"""
    index: int
    term: int
    configuration_index: int = 0
    servers: list[ArchiveServer] = []


def read_outside(file: IO[bytes]) -> tuple[ArchiveMeta, IO[bytes]]:
    """The metadata and the state, which lies in an unnamed temporary file for the caller to close.

    Errors: ArchiveError.
    """
    state = TemporaryFile()  # noqa: SIM115 - the caller reads and closes it
    try:
        meta = _read_parts(file, state)
    except BaseException:
        state.close()
        raise
    state.seek(0)
    return meta, state


def _read_parts(file: IO[bytes], state: IO[bytes]) -> ArchiveMeta:
    parts: dict[str, bytes] = {}
    sums: dict[str, str] = {}
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as unzipped:
            if not unzipped.peek(1):
                _refuse_nothing(file)
            with tarfile.open(fileobj=unzipped, mode="r|") as tar:
                for member in tar:
                    source = tar.extractfile(member)
                    if source is None or member.name not in (META, STATE, SUMS):
                        raise ArchiveError(f'failed to read snapshot file: unexpected file "{member.name}" in snapshot')
                    if member.name == STATE:
                        sums[STATE] = _copied(source, state)
                    else:
                        limit = META_MAX_BYTES if member.name == META else SUMS_MAX_BYTES
                        parts[member.name] = source.read(limit)
                        sums[member.name] = hashlib.sha256(parts[member.name]).hexdigest()
            while unzipped.read(CHUNK_BYTES):
                pass
    except gzip.BadGzipFile as error:
        read_bytes = file.tell() + len(file.read(GZIP_HEADER_BYTES))
        reason = "gzip: invalid header" if read_bytes >= GZIP_HEADER_BYTES else "unexpected EOF"
        raise ArchiveError(f"failed to decompress snapshot: {reason}") from error
    except (EOFError, zlib.error) as error:
        raise ArchiveError(f"failed to decompress snapshot: {error}") from error
    except tarfile.TarError as error:
        raise ArchiveError(f"failed to read snapshot file: failed reading snapshot: {error}") from error
    _check(parts, sums)
    return _decoded_meta(parts[META])


def _refuse_nothing(file: IO[bytes]) -> None:
    """An empty stream is no gzip file; a gzip file of nothing lacks its parts."""
    if file.tell() == 0:
        raise ArchiveError("failed to decompress snapshot: EOF")
    _check({}, {})


def _copied(source: IO[bytes], target: IO[bytes]) -> str:
    """Copies all of it; its SHA-256."""
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def _check(parts: dict[str, bytes], sums: dict[str, str]) -> None:
    where = "failed to read snapshot file: failed checking integrity of snapshot"
    listed: dict[str, str] = {}
    for line in parts.get(SUMS, b"").decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        if not name:
            raise ArchiveError(f"{where}: a line of {SUMS} is malformed")
        listed[name] = digest
    for name in sorted({META, STATE} | set(listed)):
        if name not in sums:
            raise ArchiveError(f'{where}: file missing for "{name}"')
        if name not in listed:
            raise ArchiveError(f'{where}: list missing hash for "{name}"')
        if sums[name] != listed[name]:
            raise ArchiveError(f'{where}: hash check failed for "{name}"')


def _decoded_meta(raw: bytes) -> ArchiveMeta:
    try:
        shown = json.loads(raw)
        servers = [
            ArchiveServer(server["Suffrage"], server["ID"], server["Address"])
            for server in shown.get("Configuration", {}).get("Servers") or []
        ]
        return ArchiveMeta(shown["ID"], shown["Index"], shown["Term"], shown.get("ConfigurationIndex", 0), servers)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArchiveError(f"failed to read snapshot file: meta.json: {error}") from error


def write_outside(file: IO[bytes], meta: ArchiveMeta, state: IO[bytes], modified_s: int) -> None:
    """Writes the archive; `state` is read from its beginning to its end."""
    state.seek(0)
    digest = hashlib.sha256()
    size = 0
    while chunk := state.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    described = _encoded_meta(meta, size)
    sums = f"{hashlib.sha256(described).hexdigest()}  {META}\n{digest.hexdigest()}  {STATE}\n".encode()
    state.seek(0)
    with (
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
    ):
        _add(tar, META, io.BytesIO(described), len(described), modified_s)
        _add(tar, STATE, state, size, modified_s)
        _add(tar, SUMS, io.BytesIO(sums), len(sums), modified_s)


def _encoded_meta(meta: ArchiveMeta, size: int) -> bytes:
    from lictor.state.consul_archive.codec import pack

    peers = pack([server.address.encode() for server in meta.servers])
    shown = {
        "Version": 1,
        "ID": meta.id,
        "Index": meta.index,
        "Term": meta.term,
        "Peers": base64.b64encode(peers).decode(),
        "Configuration": {
            "Servers": [
                {"Suffrage": server.suffrage, "ID": server.id, "Address": server.address} for server in meta.servers
            ]
        },
        "ConfigurationIndex": meta.configuration_index,
        "Size": size,
    }
    return json.dumps(shown, separators=(",", ":")).encode() + b"\n"


def _add(tar: tarfile.TarFile, name: str, source: IO[bytes], size: int, modified_s: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o600
    member.mtime = modified_s
    tar.addfile(member, source)
