"""HTTP requests of leakwatch: clients, their settings, and fetches within limits."""
