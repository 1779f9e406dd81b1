"""Consul's snapshot archive: reading one made by Consul 1.7 or by us, writing one that both read.

    meta = load_archive(txn, file)          # into an empty keyspace
    write_archive(txn, file, meta)          # everything that the keyspace holds

The layout is described in docs/consul-snapshot-archive.md.
"""

from lictor.state.consul_archive.archive import ArchiveError, ArchiveMeta, ArchiveServer
from lictor.state.consul_archive.load import load_archive
from lictor.state.consul_archive.save import write_archive

__all__ = ["ArchiveError", "ArchiveMeta", "ArchiveServer", "load_archive", "write_archive"]
