"""Discovery chains: what a service name leads to under the configuration entries."""
