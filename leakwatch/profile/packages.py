"""Distinguishes the standard library, dependencies and own code."""

import re

from leakwatch.model import Frame

STD_NAMES = """
archive bufio bytes cmp compress container context crypto database debug embed encoding errors expvar flag fmt go
hash html image index internal io iter log maps math mime net os path plugin reflect regexp runtime slices sort
strconv strings structs sync syscall testing text time unicode unique unsafe uuid vendor weak
"""
STD = frozenset(STD_NAMES.split())
"""First path elements of Go's standard library; a test compares them with `go list std`."""

DEPENDENCY = re.compile(
    r"/pkg/mod/|@v(?!0\.0\.0(?:-00010101000000-000000000000)?/)|/vendor/|(?:^|/execroot/[^/]{1,255}/|^bazel-out/[^/]{1,255}/bin/)external/"
)
"""Files of dependencies: the module cache, vendor/, and the external repositories of Bazel."""
LIBRARIES = (
    "cloud.google.com/go", "go.etcd.io/", "go.mongodb.org/", "go.opencensus.io/", "go.opentelemetry.io/",
    "go.temporal.io/", "go.uber.org/", "golang.org/x/", "google.golang.org/", "gopkg.in/", "k8s.io/",
    "sigs.k8s.io/",
)  # fmt: skip
"""Packages that are dependencies whatever their files: in GOPATH mode, and in a profile without files."""


def is_std(function: str) -> bool:
    """Return whether `function` belongs to Go's standard library or runtime."""
    path, slash, rest = function.partition("/")
    element = path if slash else rest or path
    return element.partition(".")[0] in STD and (not slash or "." not in path)


def is_dependency(frame: Frame) -> bool:
    """Return whether `frame` belongs to a dependency; package main is always own code.

    Its file is in the module cache, in vendor/ or in an external repository. In GOPATH mode, and without
    a file, known libraries are dependencies.
    """
    if frame.function.startswith("main."):
        return False
    if DEPENDENCY.search(frame.file):
        return True
    return frame.function.startswith(LIBRARIES) and (not frame.file or "/src/" in frame.file)
