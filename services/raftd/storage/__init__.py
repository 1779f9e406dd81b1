"""What raftd keeps on disk: the write-ahead log, snapshots, and the state machine's directories."""
