"""HTTP client for everything that leakwatch requests."""
