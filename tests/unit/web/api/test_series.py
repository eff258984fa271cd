"""Goroutines over time, for plots."""

from dataclasses import replace

from leakwatch.leaks.model import Estimate, Leak, Limit, MemoryCost
from leakwatch.model import NO_GROWTH
from leakwatch.web.api.series import leak_series
from tests.support.api_world import END, view


def shop_leak() -> Leak:
    """Return the leak in main.leak, with a memory limit that is reached in one to two hours."""
    (leak,) = [leak for leak in view().leaks if leak.stack.blamed.function == "main.leak"]
    stack = Estimate(2048, 2048, 2048)
    limit = Limit(target="10.0.0.1:6060", size=64 << 20, soonest=3600.0, latest=7200.0)
    cost = MemoryCost(stack=stack, resident=None, source="", goroutines=894, growth=leak.growth, limit=limit)
    return replace(leak, memory=cost)


def test_the_forecast() -> None:
    """The forecast has the times of the limit and the rate; without growth or limit there is none."""
    forecast = leak_series(view(), shop_leak()).forecast
    assert forecast is not None
    assert forecast.text == "10.0.0.1:6060 reaches its memory limit of 64 MiB"
    assert (forecast.soonest, forecast.latest) == (END + 3600, END + 7200)
    assert forecast.per_hour.value is not None
    assert forecast.per_hour.value > 0
    assert leak_series(view(), replace(shop_leak(), memory=None)).forecast is None
    assert leak_series(view(), replace(shop_leak(), growth=NO_GROWTH)).forecast is None


def test_the_measured_count_lies_in_the_band_of_the_fit() -> None:
    """The current count lies between the fitted growth with the low and with the high rate, within 2 %."""
    series = leak_series(view(), shop_leak())
    fit = series.fit
    assert fit is not None
    hours = (END - (fit.since or 0.0)) / 3600
    low, high = ((fit.before or 0.0) + hours * (rate or 0.0) for rate in (fit.per_hour.low, fit.per_hour.high))
    assert 0.98 * low <= (series.recent.mean[-1] or 0.0) <= 1.02 * high
