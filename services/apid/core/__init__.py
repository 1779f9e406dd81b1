"""The parts of the HTTP API that need no I/O: messages, routes, Go-like parsing and JSON."""
