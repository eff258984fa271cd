"""Sites: which stacks they count together, and their limits."""

from leakwatch.detect.history import History
from leakwatch.leaks.sites import Functions, Sites
from leakwatch.model import Frame, Sample, Samples, Stack
from leakwatch.profile.fingerprint import fingerprint_of


def paths(functions: int) -> Samples:
    """Return samples of so many functions, each called by two others."""
    samples = {}
    for number in range(2 * functions):
        frames = (Frame(f"main.f{number // 2}"), Frame(f"main.caller{number}"))
        stack = Stack(
            fingerprint=fingerprint_of([frame.function for frame in frames]),
            frames=frames,
            blamed=frames[0],
            origin="main.main",
            wait="",
        )
        samples[stack.fingerprint] = Sample(stack, 1 + number)
    return samples


def test_sites_have_the_series_limit_of_their_history() -> None:
    """A history with room for 100 series has room for 100 sites."""
    history = History(75.0, series_limit=100)
    assert Sites(history, Functions()).series_limit == 100


def test_sites_beyond_the_limit_are_folded() -> None:
    """With more sites than the limit, the largest have a row and the others are summed up."""
    history, functions = History(75.0, series_limit=5), Functions()
    samples = paths(8)
    functions.add([sample.stack for sample in samples.values()])
    sites = Sites(history, functions)
    for time in (1000.0, 1015.0):
        history.record(time, samples)
        sites.record(time, samples)
    assert (len(sites.rows), sites.folded_stacks) == (5, 3)
    assert sites.last.sum() == sum(2 * (1 + 2 * number) + 1 for number in range(3, 8))
