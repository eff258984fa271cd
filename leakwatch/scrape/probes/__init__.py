"""Requests that suspected targets get beside their scrapes."""
