"""Judging: which growth is a leak. Pure; time is a parameter."""
