"""Likely causes in recorded profiles: of leaks, of each blocked primitive, and of healthy daemons."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from leakwatch.causes.catalogue import Catalogue, shipped
from leakwatch.causes.model import Cause, CountedStack
from leakwatch.causes.one_profile import MOST, explained
from leakwatch.cli.sources import read
from leakwatch.model import Fingerprint, Sample
from leakwatch.profile import formats
from leakwatch.profile.dump import Dump
from leakwatch.profile.stacks import Identifier

PROFILES = Path(__file__).parents[2] / "profiles"
LEAKS = sorted((PROFILES / "causes").rglob("*.txt"))
HEALTHY = sorted((PROFILES / "healthy").glob("*/*.txt"))
SHAPES = sorted(PROFILES.glob("*/goroutine.debug*.*"))
LEAST = 30
"""Goroutines of a stack from which `leakwatch scrape` shows its cause."""
CATALOGUE = Catalogue()
IDS = {cause.id for cause in shipped()}

SINGLE = "finalizer-blocked"
"""The cause of a single goroutine: Go runs all finalizers in one."""
UNRECORDED = {
    "aws-s3-upload-worker", "google-cloud-client", "http2-connection-stuck", "mgo-session-not-closed",
    "pgx-context-watcher",
}  # fmt: skip
"""Causes without a recording: they need a server, an old version, or a network that drops packets."""


def samples_of(path: Path, identifier: Identifier) -> Mapping[Fingerprint, Sample]:
    """Return the samples of a recorded profile or dump."""
    has_several = path.parent.name == "kernels"  # dumps of several programs, as one
    profile = formats.read(path.read_bytes()) if has_several else read(str(path), timeout=1.0)
    return identifier.identify(profile.profile() if isinstance(profile, Dump) else profile)


def causes_of(path: Path, least: int = LEAST) -> tuple[Mapping[Fingerprint, Sample], Mapping[Fingerprint, Cause]]:
    """Return the samples of a recording, and the likely causes of those with at least `least` goroutines."""
    identifier = Identifier()
    samples = samples_of(path, identifier)
    return samples, explained(samples.values(), CATALOGUE, identifier.is_own, least)


@pytest.mark.parametrize("path", LEAKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_leak_has_its_cause(path: Path) -> None:
    """Each recorded leak has the cause of its name, and no other."""
    name = path.name.partition(".")[0]
    _, causes = causes_of(path, 1 if name == SINGLE else LEAST)
    ids = {cause.id for cause in causes.values()}
    assert name in ids
    assert ids == {name} or name == SINGLE


@pytest.mark.parametrize("path", LEAKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_cause_of_a_whole_leak_comes_first(path: Path) -> None:
    """If all large stacks of a recording are one leak, its cause is the most specific one."""
    identifier = Identifier()
    name = path.name.partition(".")[0]
    least = 1 if name == SINGLE else LEAST
    samples = [sample for sample in samples_of(path, identifier).values() if sample.goroutines >= least]
    cause = CATALOGUE.explain([CountedStack(each.stack, each.goroutines) for each in samples], identifier.is_own)
    assert cause is not None
    assert cause.id == name


def test_each_cause_has_a_recording() -> None:
    """All causes have recordings, except a few that are listed, and no recording has an unknown name."""
    assert {path.name.partition(".")[0] for path in LEAKS} == IDS - UNRECORDED


@pytest.mark.parametrize("path", HEALTHY, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_healthy_process_has_no_cause(path: Path) -> None:
    """Daemons without a leak, idle and under load, have no likely cause."""
    samples, causes = causes_of(path)
    assert len(samples) > 5
    assert {cause.id for cause in causes.values()} == set()


BLOCKED = {
    "main.chanSend": "channel-send-without-receiver",
    "main.nilSend": "channel-send-without-receiver",
    "main.chanRecv": "channel-not-closed",
    "main.nilRecv": "channel-not-closed",
    "main.selectNoReady": "select-never-ends",
    "main.selectEmpty": "select-without-cases",
    "main.sleepForever": "sleep-loop-never-ends",
    "main.mutexLock": "mutex-not-unlocked",
    "main.rwLock": "rwmutex-not-unlocked",
    "main.rwRLock": "rwmutex-not-unlocked",
    "main.onceBlocked": "once-does-not-return",
    "main.condWait": "cond-not-signalled",
    "main.tcpRead": "connection-read-no-deadline",
}
"""Function of the recorded program -> the cause of its stack."""


@pytest.mark.parametrize("path", SHAPES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_each_blocked_primitive_has_its_cause(path: Path) -> None:
    """Own code that waits has the cause of its wait, with each version of Go and in each format."""
    samples, causes = causes_of(path, 1)
    by_function: dict[str, set[str]] = {}
    for key, sample in samples.items():
        by_function.setdefault(sample.stack.blamed.function, set()).add(causes[key].id if key in causes else "")
    assert {name: by_function[name] for name in BLOCKED} == {name: {cause} for name, cause in BLOCKED.items()}
    assert causes_of(path)[1] == {}


def test_blocked_own_code_has_only_causes_of_waits() -> None:
    """In programs that block only in their own code, no cause of a library or of a call matches."""
    samples, causes = causes_of(PROFILES / "kernels" / "dump.txt", 1)
    assert {cause.kind for cause in causes.values()} == {"wait"}
    assert len(causes) > 0.8 * min(len(samples), MOST)


NEUTRAL = ("/src/leaks/", "/go/pkg/mod/", "/usr/local/go/src/", "/usr/share/", "/usr/lib/", "/build/")
"""Folders of the programs, of the module cache, of Go, and of Debian's packages."""


def test_recordings_have_neutral_paths() -> None:
    """No recording has a path of the machine where it was made."""
    for path in (*LEAKS, *HEALTHY):
        text = path.read_text()
        assert "/src/leaks/" in text or "/healthy/" in str(path)
        places = re.findall(r"^#?\t.*?([^\s]+\.(?:go|s)):\d+", text, re.MULTILINE)
        assert places
        assert {place for place in places if place.startswith("/") and not place.startswith(NEUTRAL)} == set()


def test_small_stacks_have_no_cause() -> None:
    """A stack with fewer goroutines than `least` has no cause, and is part of no leak."""
    path = PROFILES / "causes" / "http-body-not-closed.txt"
    assert {cause.id for cause in causes_of(path, 40)[1].values()} == {"http-body-not-closed"}
    assert causes_of(path, 41)[1] == {}


def test_only_the_largest_stacks_are_compared() -> None:
    """A profile with very many large stacks has causes of the largest ones."""
    identifier = Identifier()
    samples = samples_of(PROFILES / "kernels" / "dump.txt", identifier).values()
    causes = explained(samples, CATALOGUE, identifier.is_own, 1)
    assert len(samples) > len(causes) > MOST // 2
    largest = sorted((sample.goroutines for sample in samples), reverse=True)[:MOST]
    assert all(sample.goroutines >= largest[-1] for sample in samples if sample.stack.fingerprint in causes)


def test_a_connection_belongs_to_the_library_that_uses_it() -> None:
    """The goroutines of net/http below a Kubernetes watch have the cause of the informer."""
    samples, causes = causes_of(PROFILES / "causes" / "k8s-informer-not-stopped.txt")
    functions = {samples[key].stack.blamed.function for key in causes}
    assert {"net/http.(*persistConn).readLoop", "net/http.(*persistConn).writeLoop"} <= functions
