"""Pages, API and metrics over HTTP."""
