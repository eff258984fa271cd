"""The list of goroutines that a healthy process has."""
