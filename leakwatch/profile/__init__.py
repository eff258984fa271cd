"""Parsing of profiles and dumps, and the identity of stacks. No I/O."""
