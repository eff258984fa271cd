"""Metrics of leakwatch itself, and the registry of all collectors."""

import platform
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from leakwatch import __version__
from leakwatch.notify.links import AlertLinks


class DaemonCollector(Collector):
    """Series about leakwatch itself.

    `links`: returns the addresses that alerts link to; `last_reload`: returns whether the latest reload succeeded,
    and the unix time of the latest successful load; `web_in_force`: returns whether the web configuration file is
    in force, None without.
    """

    def __init__(
        self,
        links: Callable[[], AlertLinks],
        last_reload: Callable[[], tuple[bool, float]],
        web_in_force: Callable[[], bool | None],
    ) -> None:
        self._links = links
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
            "Whether the latest reload of leakwatch's configuration file succeeded.",
            successful,
        )
        yield GaugeMetricFamily(
            "leakwatch_config_last_reload_success_timestamp_seconds",
            "Unix time at which leakwatch last loaded its configuration file successfully.",
            time,
        )
        web_in_force = self._web_in_force()
        if web_in_force is not None:
            yield GaugeMetricFamily(
                "leakwatch_web_config_last_reload_successful",
                "Whether the current web configuration file is valid and in force; 0 while an older version is.",
                web_in_force,
            )
        build = InfoMetricFamily("leakwatch_build", "Version of leakwatch and of Python that runs; always 1.")
        build.add_metric((), {"version": __version__, "python": platform.python_version()})
        yield build
        links = self._links()
        web = InfoMetricFamily(
            "leakwatch_web",
            "URL of leakwatch's pages, and URL template of dashboards, for links in alerts; always 1.",
        )
        web.add_metric(
            (), {"url": links.first_page(), **({"dashboard": links.dashboard} if links.dashboard else {})}
        )
        yield web


def make_registry(*collectors: Collector) -> CollectorRegistry:
    """Return a registry of `collectors` and of the metrics of this process."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
