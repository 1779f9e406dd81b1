"""The built-in Connect proxy: plain TCP on the side of the application, mutual TLS between proxies."""
