"""Where facts come from: this server's state file, or apid's Forward service."""
