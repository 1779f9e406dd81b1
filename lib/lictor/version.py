"""What Lictor calls itself: its own version, and the Consul version whose behaviour it has."""

LICTOR_VERSION = "0.1.0"
# Clients look at this one (`Config.Version`, the `build` tag, `consul version`).
CONSUL_VERSION = "1.7.2"
BUILD = f"{CONSUL_VERSION}:lictor"
