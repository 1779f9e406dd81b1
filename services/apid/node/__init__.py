"""What apid asks the rest of its node and cluster: state, proposals, members, other servers."""
