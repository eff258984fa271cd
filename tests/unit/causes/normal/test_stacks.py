"""Goroutines that a healthy process has."""

from pathlib import Path

import pytest

from leakwatch.causes.matching import canonical
from leakwatch.causes.normal.stacks import FILE, NormalFile, is_normal
from leakwatch.cli.sources import read
from leakwatch.model import Fingerprint, Frame, Stack
from leakwatch.profile.dump import Dump
from leakwatch.profile.stacks import Identifier
from leakwatch.settings.file import read_settings

PROFILES = Path(__file__).parents[3] / "profiles"
LEAKS = sorted((PROFILES / "causes").glob("*.txt"))
LEAKED = 30
"""Goroutines of a stack in these recordings, at least."""


def stack(*functions: str) -> Stack:
    """Return a stack of `functions`, the innermost first."""
    frames = tuple(map(Frame, functions))
    return Stack(
        fingerprint=Fingerprint("a"), frames=frames, blamed=frames[0], origin=functions[-1], wait="select"
    )


@pytest.mark.parametrize(
    ("function", "most"),
    [
        ("os/signal.loop", 1),
        ("k8s.io/klog/v2.(*flushDaemon).run.func1", 1),
        ("k8s.io/klog.(*loggingT).flushDaemon", 1),
        ("github.com/golang/glog.(*fileSink).flushDaemon", 1),
        ("go.opencensus.io/stats/view.(*worker).start", 1),
        ("github.com/rcrowley/go-metrics.(*meterArbiter).tick", 1),
        ("go.etcd.io/etcd/client/pkg/v3/logutil.(*MergeLogger).outputLoop", 1),
        ("cloud.google.com/go/spanner.(*endpointLatencyRegistry).runCleanup", 1),
        ("github.com/lestrrat-go/httprc.runFetchWorker", 8),
        ("github.com/klauspost/compress/zstd.(*blockDec).startDecoder", 16),
        ("database/sql.(*DB).connectionOpener", 5),
        ("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun", 5),
        ("example.com/a/vendor/github.com/robfig/cron/v3.(*Cron).run", 3),
    ],
)
def test_a_healthy_process_has_a_few(function: str, most: int) -> None:
    """A goroutine of the list is normal up to its number, in all versions of its module; more are not."""
    assert is_normal(stack(function), most)
    assert not is_normal(stack(function), most + 1)


def test_any_function_of_the_stack_may_be_on_the_list() -> None:
    """The function that is on the list may be called by others, and call others."""
    assert is_normal(stack("internal/poll.runtime_pollWait", "net.(*TCPListener).Accept", "main.serve"), 1)
    assert not is_normal(stack("internal/poll.runtime_pollWait", "net.(*conn).Read", "main.serve"), 1)


@pytest.mark.parametrize("path", LEAKS, ids=lambda path: path.stem)
def test_a_leak_is_not_normal(path: Path) -> None:
    """No stack of a recorded leak is normal, though one goroutine of it may be."""
    profile = read(str(path), timeout=1.0)
    samples = Identifier().identify(profile.profile() if isinstance(profile, Dump) else profile).values()
    leaking = [sample for sample in samples if sample.goroutines >= LEAKED]
    assert leaking or path.stem == "finalizer-blocked"
    assert not any(is_normal(sample.stack, sample.goroutines) for sample in leaking)


def test_the_list_has_canonical_names() -> None:
    """A glob with a major version or the number of a closure of Go could never match."""
    kinds = read_settings(FILE, NormalFile).goroutines
    names = [name.replace("*", "ANY") for kind in kinds for name in kind.functions]
    assert [name for name in names if canonical(name) != name] == []
    assert len(names) == len(set(names)) > 30
