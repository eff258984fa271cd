"""`leakwatch analyze`: judges recorded profiles."""
