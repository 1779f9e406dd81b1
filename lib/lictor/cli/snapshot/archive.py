"""Reading snapshot archives: a gzip'd tar of meta.json, state.bin and SHA256SUMS, verified."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import zlib
from typing import IO, Any

META, STATE, SUMS = "meta.json", "state.bin", "SHA256SUMS"
PIECE_BYTES = 1 << 20


GZIP_HEADER_BYTES = 10
"""What is shorter is reported as cut off."""


class ArchiveError(Exception):
    """The file is no sound archive."""


def verify(file: IO[bytes]) -> dict[str, Any]:
    """The metadata of an archive whose sums are right. Raises ArchiveError."""
    sums: dict[str, str] = {}
    found: dict[str, str] = {}
    meta: dict[str, Any] = {}
    try:
        with gzip.open(file) as plain, tarfile.open(fileobj=plain, mode="r|") as members:
            for member in members:
                content = members.extractfile(member)
                if member.name not in (META, STATE, SUMS) or content is None:
                    raise ArchiveError(f'failed to read snapshot file: unexpected file "{member.name}" in snapshot')
                if member.name == SUMS:
                    lines = content.read().decode("ascii", "replace").split("\n")
                    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines) if name}
                    continue
                digest = hashlib.sha256()
                text = b""
                while piece := content.read(PIECE_BYTES):
                    digest.update(piece)
                    if member.name == META:
                        text += piece
                found[member.name] = digest.hexdigest()
                if member.name == META:
                    meta = json.loads(text)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        size = file.seek(0, 2)
        long = isinstance(error, gzip.BadGzipFile) and size >= GZIP_HEADER_BYTES
        reason = "gzip: invalid header" if long else "unexpected EOF" if size else "EOF"
        raise ArchiveError(f"failed to decompress snapshot: {reason}") from None
    except tarfile.ReadError as error:
        if not file.seek(0, 2):
            raise ArchiveError("failed to decompress snapshot: EOF") from None
        raise ArchiveError(f"failed to read snapshot file: {error}") from None
    except (tarfile.TarError, ValueError) as error:
        raise ArchiveError(f"failed to read snapshot file: {error}") from None
    for name in (META, STATE):
        if name not in found or found[name] != sums.get(name):
            raise ArchiveError(f'failed checking integrity of snapshot: hash check failed for "{name}"')
    return meta
