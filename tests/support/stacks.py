"""Made-up stacks of own code, dependencies and the standard library."""

from leakwatch.model import Frame, Stack, Trace
from leakwatch.profile.stacks import Identifier

IDENTIFIER = Identifier()


def frame(function: str) -> Frame:
    """Return a frame with a file in the module cache, in GOROOT, or in /src for functions of main and shop."""
    package = function.partition("(")[0].rpartition(".")[0]
    if function.startswith(("main.", "example.com/shop")):
        return Frame(function, f"/src/{package}/x.go", 7)
    has_host = "." in function.partition("/")[0]
    file = f"/go/pkg/mod/{package}@v1.2.3/x.go" if has_host else f"/usr/local/go/src/{package}/x.go"
    return Frame(function, file, 7)


def stack_of(*functions: str, wait: str = "select") -> Stack:
    """Return the identified stack of `functions`, the innermost first."""
    return Identifier().stack(Trace(tuple(map(frame, functions)), wait=wait))
