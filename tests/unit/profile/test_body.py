"""Bodies: steps, and the bound of different stacks."""

import gc
import weakref
from itertools import chain

import pytest

from leakwatch.errors import ScrapeError
from leakwatch.model import Frame, Profile, Trace
from leakwatch.profile import body as bodies
from leakwatch.profile import pprof, proto, text
from leakwatch.profile.body import Body
from leakwatch.profile.stacks import Identifier
from tests.support.rendering import counters, render

Parser = text.Parser | proto.Parser


def bodies_of(stacks: int) -> list[tuple[Parser, bytes]]:
    """Return a parser and a body of different stacks for each format."""
    traces = (Trace((Frame(f"main.f{n}", "/f.go", n + 1),), counters([n + 1, 1 << 40])) for n in range(stacks))
    profile = Profile(stacks, tuple((trace, 1) for trace in traces))
    return [(text.Parser(), render(profile)), (proto.Parser(), pprof.encode(profile))]


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
