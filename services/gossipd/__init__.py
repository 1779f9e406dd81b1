"""gossipd: LAN and WAN membership, failure detection, user events, keyring and network coordinates."""
