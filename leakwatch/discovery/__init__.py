"""Target discovery and relabeling."""
