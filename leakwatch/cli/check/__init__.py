"""`leakwatch check`: judges services for a limited time, for CI and canaries."""
