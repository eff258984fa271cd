"""Commands of leakwatch."""
