"""Metrics of leakwatch itself, and the registry of all collectors."""

import platform
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from leakwatch import __version__


class DaemonCollector(Collector):
    """Series about leakwatch itself.

    `last_reload`: returns whether the latest reload succeeded, and the unix time of the latest successful load;
    `web_in_force`: returns whether the web configuration file is in force, None without a file.
    """

    def __init__(
        self, last_reload: Callable[[], tuple[bool, float]], web_in_force: Callable[[], bool | None]
    ) -> None:
        self._last_reload = last_reload
        self._web_in_force = web_in_force

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registration does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all series."""
        successful, time = self._last_reload()
        yield GaugeMetricFamily(
            "leakwatch_config_last_reload_successful",
            "Whether the latest reload of the configuration file succeeded.",
            successful,
        )
        yield GaugeMetricFamily(
            "leakwatch_config_last_reload_success_timestamp_seconds",
            "Unix time of the latest successful load of the configuration file.",
            time,
        )
        web_in_force = self._web_in_force()
        if web_in_force is not None:
            yield GaugeMetricFamily(
                "leakwatch_web_config_last_reload_successful",
                "Whether the web configuration file is in force.",
                web_in_force,
            )
        build = InfoMetricFamily("leakwatch_build", "The running version of leakwatch and of Python.")
        build.add_metric((), {"version": __version__, "python": platform.python_version()})
        yield build


def make_registry(*collectors: Collector) -> CollectorRegistry:
    """Return a registry of `collectors` and of the metrics of this process."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
