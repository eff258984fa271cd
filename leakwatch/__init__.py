"""leakwatch detects goroutine leaks in Go services, and names the function that leaks."""

__version__ = "0.1.0"
