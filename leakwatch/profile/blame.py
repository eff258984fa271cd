"""Which frame of a stack to blame, and which stack of a leak: the one nearest to the code to change."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from leakwatch.model import Frame, Stack
from leakwatch.profile.fingerprint import normalise
from leakwatch.profile.packages import is_std

IsOwn = Callable[[Frame], bool]

STD_PARTS: Final = ("net/http", "database/sql", "os/exec", "os/signal", "net/rpc", "net/smtp")
"""Packages of the standard library that run goroutines of their own. Others, such as net, are in most stacks."""
FORGES: Final = frozenset(("github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "golang.org"))
"""Hosts of which a module has an owner and a name; modules of other hosts have a name only."""
BASIS: Final = frozenset((
    "golang.org/x/net", "golang.org/x/sync", "golang.org/x/sys", "golang.org/x/text", "golang.org/x/oauth2",
    "google.golang.org/grpc", "google.golang.org/protobuf",
))  # fmt: skip
"""Modules that other libraries are built on."""
NEVER_ALONE: Final = "net/http.(*connReader).backgroundRead"
"""One goroutine for each handler that runs: it is never a leak of its own."""
COMPANIONS: Final = (NEVER_ALONE, "context.(*cancelCtx).propagateCancel.func")
"""Goroutines that may exist because others wait: while a handler runs, and until a context ends."""
RUNNERS: Final = (
    "golang.org/x/sync/errgroup.",
    "k8s.io/apimachinery/pkg/util/wait.",
    "k8s.io/apimachinery/pkg/util/runtime.",
    "github.com/oklog/run.",
    "github.com/sourcegraph/conc",
    "github.com/panjf2000/ants",
    "github.com/IBM/sarama.withRecover",
    "github.com/Shopify/sarama.withRecover",
)
"""Functions that run the functions of others."""
CLOSURE: Final = re.compile(r"\.(?:func|gowrap)[0-9]")
WAITS_FOR_TASK: Final = {
    "sync.WaitGroup.Wait": 2,
    "sync.Mutex.Lock": 2,
    "sync.RWMutex.Lock": 2,
    "sync.RWMutex.RLock": 2,
    "sync.Cond.Wait": 1,
    "chan receive": 1,
}
"""Wait reasons of goroutines that wait for another goroutine: 1 perhaps, 2 surely."""


@lru_cache(maxsize=10_000)
def package_of(function: str) -> str:
    """Return the import path of the package of `function`."""
    name = function.partition("[")[0]
    path, slash, rest = name.rpartition("/")
    return path + slash + rest.partition(".")[0]


@lru_cache(maxsize=10_000)
def module_of(function: str) -> str:
    """Return the module of a dependency, by its import path; without its file, the exact one is unknown."""
    path = package_of(function).rpartition("/vendor/")[2]
    parts = path.split("/")
    return "/".join(parts[: 3 if parts[0] in FORGES else 2])


def std_part(function: str) -> str:
    """Return the part of the standard library that runs goroutines of its own, "" for other functions."""
    if not is_std(function):
        return ""
    package = package_of(function)
    return next((part for part in STD_PARTS if package == part or package.startswith(part + "/")), "")


def part_of(function: str) -> str:
    """Return the module of a dependency, or the package or larger part of the standard library."""
    return (std_part(function) or package_of(function)) if is_std(function) else module_of(function)


def innermost_own(frames: Sequence[Frame], is_own: IsOwn) -> int | None:
    """Return the index of the innermost frame of own code, None if there is none."""
    return next((index for index, frame in enumerate(frames) if is_own(frame)), None)


def is_companion(stack: Stack) -> bool:
    """Return whether the goroutines of `stack` may exist only because others wait."""
    return normalise(stack.frames[-1].function).startswith(COMPANIONS)


def is_never_alone(stack: Stack) -> bool:
    """Return whether the goroutines of `stack` are never a leak of their own."""
    return normalise(stack.frames[-1].function).startswith(NEVER_ALONE)


def blamed_dependency(frames: Sequence[Frame]) -> Frame | None:
    """Return the most informative frame of a stack without own code, None if it has only the standard library.

    This is the outermost one: it belongs to the library that something was opened with. Functions that run others,
    modules that others are built on, and closures count only if there is nothing else.
    """
    candidates = [frame for frame in reversed(frames) if not is_std(frame.function)]
    for is_vague in (_is_runner, _is_basis, _is_closure):
        candidates = [frame for frame in candidates if not is_vague(frame.function)] or candidates
    return candidates[0] if candidates else None


def _is_runner(function: str) -> bool:
    return function.startswith(RUNNERS)


def _is_basis(function: str) -> bool:
    return module_of(function) in BASIS


def _is_closure(function: str) -> bool:
    return CLOSURE.search(function) is not None


def distance(stack: Stack, is_own: IsOwn) -> int:
    """Return how far `stack` is from the code to change.

    0: own code. 1: a dependency. 2: what others are built on. 3: the rest of the standard library.
    """
    blamed = stack.blamed
    if is_own(blamed):
        return 0
    if is_std(blamed.function):
        return 2 if std_part(blamed.function) and not is_companion(stack) else 3
    return 2 if _is_basis(blamed.function) else 1


def is_vague(stack: Stack) -> bool:
    """Return whether the blamed frame of a stack without own code is a closure, or a function that runs others."""
    return _is_runner(stack.blamed.function) or _is_closure(stack.blamed.function)


def waits_for_others(stack: Stack) -> int:
    """Return whether a stack waits for another goroutine of the process: 0 no, 1 perhaps, 2 surely."""
    return WAITS_FOR_TASK.get(stack.wait, 0)
