"""HTTP server: sockets, TLS and authentication."""
