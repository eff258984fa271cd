"""Bodies: steps, the bound of different stacks, and what remains of a body."""

import gc
import tracemalloc
import weakref
from itertools import chain

import pytest

from leakwatch.errors import ScrapeError
from leakwatch.model import Frame, Profile, Trace
from leakwatch.profile import body as bodies
from leakwatch.profile import pprof, proto, text
from leakwatch.profile.body import Body
from leakwatch.profile.cache import ParseCache
from leakwatch.profile.stacks import Identifier
from tests.support.rendering import counters, render

Parser = text.Parser | proto.Parser


def bodies_of(stacks: int) -> list[tuple[Parser, bytes]]:
    """Return a parser and a body of different stacks for each format."""
    traces = (Trace((Frame(f"main.f{n}", "/f.go", n + 1),), counters([n + 1, 1 << 40])) for n in range(stacks))
    profile = Profile(stacks, tuple((trace, 1) for trace in traces))
    return [(text.Parser(), render(profile)), (proto.Parser(), pprof.encode(profile))]


def new_stacks(form: str, first: int) -> bytes:
    """Return a body of 1,000 stacks, each with functions and addresses of its own."""
    numbers = range(first, first + 1000)
    traces = [Trace((Frame(f"main.f{n}", "/f.go", n + 1),), counters([n + 1, 1 << 40])) for n in numbers]
    profile = Profile(1000, tuple((trace, 1) for trace in traces))
    return render(profile) if form == "text" else pprof.encode(profile)


@pytest.mark.parametrize("in_steps", [True, False])
def test_a_body_in_steps(in_steps: bool) -> None:
    """The content is the same whether or not the caller runs the steps before `close`."""
    for parser, data in bodies_of(3000):
        body = Body(parser, Identifier())
        steps = list(body.feed(data))
        if in_steps:
            steps += body.steps()
            assert len(steps) > 3
        parsed = body.close()
        assert (parsed.total, len(parsed.samples), parsed.process) == (3000, 3000, None)


def test_the_number_of_different_stacks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body with too many different stacks raises an error soon after the limit."""
    monkeypatch.setattr(bodies, "MAX_STACKS", 100)
    for parser, data in bodies_of(3000):
        body = Body(parser, Identifier())
        with pytest.raises(ScrapeError, match="more than 100 different stacks") as caught:
            list(chain(body.feed(data), body.steps()))
        assert caught.value.reason == "too_large"
        assert len(body._samples) < 1000


def test_a_rejected_body_is_freed_at_once() -> None:
    """A body that is dropped before its end does not wait for the collector of reference cycles."""
    for parser, data in bodies_of(3000):
        body = Body(parser, Identifier())
        list(body.feed(data[:1000]))
        freed = weakref.ref(body)
        gc.disable()
        try:
            del body
            assert freed() is None
        finally:
            gc.enable()


@pytest.mark.parametrize("form", ["text", "proto"])
def test_stacks_that_are_never_repeated_are_not_kept(form: str) -> None:
    """A stack that only one body has leaves less than 250 bytes; a cached stack takes 800."""
    cache, identifier = ParseCache(), Identifier()

    def parse(data: bytes) -> None:
        body = Body(text.Parser(cache) if form == "text" else proto.Parser(cache), identifier)
        assert len(list(body.feed(data))) > 0
        assert len(body.close().samples) == 1000

    parse(new_stacks(form, 0))
    tracemalloc.start()
    try:
        for first in range(1000, 11_000, 1000):
            parse(new_stacks(form, first))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 250 * 10_000
