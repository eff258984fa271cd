"""What leakwatch answers over HTTP."""
