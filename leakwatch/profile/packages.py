"""Distinguishes the standard library, dependencies and own code."""

import re

from leakwatch.model import Frame

STD_NAMES = """
archive bufio bytes cmp compress container context crypto database debug embed encoding errors expvar flag fmt go
hash html image index internal io iter log maps math mime net os path plugin reflect regexp runtime slices sort
strconv strings structs sync syscall testing text time unicode unique unsafe vendor weak
"""
STD = frozenset(STD_NAMES.split())
"""First path elements of Go's standard library; a test compares them with `go list std`."""

DEPENDENCY = re.compile(r"/pkg/mod/|@v|/vendor/")


def is_std(function: str) -> bool:
    """Return whether `function` belongs to Go's standard library or runtime."""
    path, slash, rest = function.partition("/")
    element = path if slash else rest or path
    return element.partition(".")[0] in STD and (not slash or "." not in path)


def is_dependency(frame: Frame) -> bool:
    """Return whether the file of `frame` is in the module cache or in vendor/; package main is always own code."""
    return bool(DEPENDENCY.search(frame.file)) and not frame.function.startswith("main.")
