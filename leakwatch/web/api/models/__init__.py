"""Pydantic models of the API."""
