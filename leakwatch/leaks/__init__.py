"""State of targets and services, and the leaks found in it."""
