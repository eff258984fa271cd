"""Requests to a target beside its scrapes: probes of suspected targets, process and symbols of text profiles."""
