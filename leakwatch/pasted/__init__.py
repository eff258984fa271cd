"""Reads dumps and profiles from logs, issues, pages and reports of other tools."""
