"""The wire format of memberlist and Serf as Consul 1.7 speaks it: bytes in, values out, and back. No I/O."""
