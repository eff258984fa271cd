"""Scraping of targets."""
