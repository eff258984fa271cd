"""A package, so that its `run` and the one of benchmarks/detection are two modules."""
