"""How settings are written and read."""
