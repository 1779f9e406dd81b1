"""Front ends: sockets, the fast lane protocol, the documented FastAPI application."""
