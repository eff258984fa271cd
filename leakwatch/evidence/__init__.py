"""The evidence: raw bodies of targets that leak, redacted and compressed. trail.py says which."""
