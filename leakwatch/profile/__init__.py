"""Profile formats: bytes in, values out, no I/O."""
