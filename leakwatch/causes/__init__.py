"""Likely causes of leaks: a catalogue of patterns, and the matching of leaks against it."""
