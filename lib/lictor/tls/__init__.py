"""TLS as Consul 1.7 has it (tlsutil): one configurator for every port and every way out, and what stands in front of
the ports between agents.

Imported only by agents whose configuration asks for TLS (`lictor.tls.wanted` says so, and imports nothing).
"""
