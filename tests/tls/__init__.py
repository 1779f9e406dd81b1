"""TLS between agents, without agents."""
