"""Metrics of leakwatch itself, and the registry of all collectors."""

import platform
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from leakwatch import __version__


class DaemonCollector(Collector):
    """Series about leakwatch itself.

    `reloaded`: asked whether the latest reload succeeded, and when that was; `web`: whether the web configuration
    in its file is in force, None without a file.
    """

    def __init__(
        self, reloaded: Callable[[], tuple[bool, float]], web: Callable[[], bool | None] = lambda: None
    ) -> None:
        self._reloaded = reloaded
        self._web = web

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all series."""
        successful, time = self._reloaded()
        yield GaugeMetricFamily(
            "leakwatch_config_last_reload_successful",
            "Whether the configuration in the file is in force.",
            successful,
        )
        yield GaugeMetricFamily(
            "leakwatch_config_last_reload_success_timestamp_seconds", "When the configuration was taken.", time
        )
        web = self._web()
        if web is not None:
            yield GaugeMetricFamily(
                "leakwatch_web_config_last_reload_successful",
                "Whether the web configuration in the file is in force.",
                web,
            )
        build = InfoMetricFamily("leakwatch_build", "The version that runs.")
        build.add_metric((), {"version": __version__, "python": platform.python_version()})
        yield build


def make_registry(*collectors: Collector) -> CollectorRegistry:
    """Return a registry of `collectors` and of our own process."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
