"""Connect's certificate authority: identities, configuration and certificates. Pure but for the system's randomness
when a key is made; times and serial numbers are the caller's."""
