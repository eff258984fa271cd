"""leakwatch tells whether a Go service is leaking goroutines, and where."""

__version__ = "0.1.0"
