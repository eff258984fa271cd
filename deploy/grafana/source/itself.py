"""The dashboard of leakwatch itself: processes, cost, scrapes, discovery and notifications."""

from frame import Frame
from frame import dashboard as framed
from grafana_foundation_sdk.models.dashboard import Dashboard
from parts import Ask, Column, Look, Marks, Panels, choice, figure, lines, number, rows

CHOSEN = '{instance=~"$instance"}'
LEAKWATCH = f"and on (instance, job) leakwatch_build_info{CHOSEN}"
"""Restricts series that every program exports to leakwatch."""
RATE = "$__rate_interval"
CPU = f"rate(process_cpu_seconds_total[{RATE}]) {LEAKWATCH}"

ITSELF = Frame(
    uid="leakwatch-itself",
    title="leakwatch: itself",
    about="The leakwatch processes: state, cost, scrapes, discovery and notifications.",
    since="now-6h",
    refresh="30s",
    variables=[choice("instance", "label_values(leakwatch_build_info, instance)", "leakwatch processes (shards)")],
    marks=[
        Marks(
            "Starts",
            "blue",
            f"(process_start_time_seconds {LEAKWATCH}) unless process_start_time_seconds"
            " == last_over_time(process_start_time_seconds[10m] offset $__interval)",
            "{{instance}} started",
            "A new leakwatch process.",
        ),
        Marks(
            "Configuration",
            "purple",
            # The value changes by less than a second when the clock is adjusted.
            f"leakwatch_config_last_reload_success_timestamp_seconds{CHOSEN} -"
            " last_over_time(leakwatch_config_last_reload_success_timestamp_seconds[10m] offset $__interval) > 1",
            "{{instance}} loaded a configuration",
            "",
        ),
    ],
)


SEEN = f"last_over_time(leakwatch_build_info{CHOSEN}[1d])"
NUMBERS: Panels = [
    number(
        "Processes",
        "leakwatch processes that are up, and all that existed within the last day.",
        figure(),
        Ask(f"sum(up and on (instance, job) {SEEN})", "up"),
        Ask(f"count(group by (instance, job) ({SEEN}))", "seen"),
    ),
    number(
        "Targets",
        "All targets, and targets whose latest scrape succeeded.",
        figure(),
        Ask(f"count(leakwatch_up{CHOSEN})", "all"),
        Ask(f"sum(leakwatch_up{CHOSEN})", "up"),
    ),
    number(
        "Configuration",
        "Processes with an old configuration, because the file is invalid. Their log names the line.",
        figure(levels={1: "red"}),
        Ask(
            f"count(leakwatch_config_last_reload_successful{CHOSEN} == 0"
            f" or leakwatch_web_config_last_reload_successful{CHOSEN} == 0) or vector(0)",
            "bad",
        ),
    ),
    number("CPU", "Cores used by all processes.", Look("none", 4), Ask(f"sum({CPU})", "cores")).decimals(2),
    number(
        "Memory",
        "Resident memory of the largest process.",
        figure("bytes"),
        Ask(f"max(process_resident_memory_bytes {LEAKWATCH})", "resident"),
    ),
    number(
        "Series",
        "Series that Prometheus scrapes from all processes.",
        figure(),
        Ask(f"sum(scrape_samples_scraped {LEAKWATCH})", "series"),
    ),
]


def delay(buckets: str) -> str:
    """Return a query of the 99th percentile of a histogram, by process."""
    return f"histogram_quantile(0.99, sum by (instance, le) (rate({buckets}{CHOSEN}[{RATE}])))"


SCRAPES: Panels = [
    lines(
        "Targets by process",
        "Targets of each process. Shards should have about the same number.",
        Look(span=8),
        Ask(f"count by (instance) (leakwatch_up{CHOSEN})", "{{instance}}"),
        stacked=True,
    ),
    lines(
        "Scrapes by result",
        "Every result except `success` is a gap in the history. docs/metrics.md lists the reasons.",
        Look("reqps", span=8),
        Ask(f"sum by (result) (rate(leakwatch_scrapes_total{CHOSEN}[{RATE}]))", "{{result}}"),
        stacked=True,
    ),
    lines(
        "Duration of scrapes",
        "Over the targets: the median, the 99th percentile and the slowest.",
        Look("s", span=8),
        Ask(f"quantile(0.5, leakwatch_scrape_duration_seconds{CHOSEN})", "median"),
        Ask(f"quantile(0.99, leakwatch_scrape_duration_seconds{CHOSEN})", "99 %"),
        Ask(f"max(leakwatch_scrape_duration_seconds{CHOSEN})", "slowest"),
    ),
    lines(
        "Time between scrapes",
        "Longer than configured if scraping would exceed a limit, or leakwatch is overloaded.",
        Look("s", span=8),
        Ask(f"quantile(0.5, leakwatch_scrape_interval_seconds{CHOSEN})", "median"),
        Ask(f"max(leakwatch_scrape_interval_seconds{CHOSEN})", "longest"),
    ),
    lines(
        "Bytes read",
        "Bodies of the latest scrapes, decompressed: the largest, and the sum over all targets.",
        Look("bytes", span=8),
        Ask(f"max(leakwatch_scrape_body_bytes{CHOSEN})", "largest"),
        Ask(f"sum(leakwatch_scrape_body_bytes{CHOSEN})", "all"),
    ),
    lines(
        "Targets not judged",
        "Down, or mixed: several processes answer behind one address, such as a load balancer.",
        Look(span=8),
        Ask(f"count(leakwatch_up{CHOSEN} == 0) or vector(0)", "down"),
        Ask(f"count(leakwatch_target_mixed{CHOSEN} == 1) or vector(0)", "mixed"),
        stacked=True,
    ),
    lines(
        "Delay of scrapes",
        "Time that 99 % of the due scrapes wait at most until they start, and lag of the event loop.",
        Look("s", span=12),
        Ask(delay("leakwatch_scrape_start_delay_seconds_bucket"), "{{instance}} start"),
        Ask(delay("leakwatch_event_loop_lag_seconds_bucket"), "{{instance}} lag"),
    ),
    lines(
        "Missed scrapes",
        "Due scrapes that leakwatch skipped, because it has more targets than it can scrape: add shards.",
        Look("reqps", span=12, levels={0.1: "red"}),
        Ask(f"sum by (instance) (rate(leakwatch_scrapes_missed_total{CHOSEN}[{RATE}]))", "{{instance}}"),
    ),
]


COST: Panels = [
    lines("CPU", "Cores used.", Look("none", span=8), Ask(f"sum by (instance) ({CPU})", "{{instance}}")),
    lines(
        "Memory",
        "Resident memory.",
        Look("bytes", span=8),
        Ask(f"max by (instance) (process_resident_memory_bytes {LEAKWATCH})", "{{instance}}"),
    ),
    lines(
        "Open files",
        "Share of the limit of the process. A connection counts as an open file.",
        Look("percentunit", span=8, levels={0.8: "red"}),
        Ask(f"max by (instance) (process_open_fds / process_max_fds {LEAKWATCH})", "{{instance}}"),
    ),
    lines(
        "Stack series",
        "Exported stack series, at most metrics.series_limit per process, and number of stacks in stack=other.",
        Look(span=8),
        Ask(f"count by (instance) (leakwatch_stack_goroutines{CHOSEN})", "{{instance}} exported"),
        Ask(f"sum by (instance) (leakwatch_stacks_other{CHOSEN})", "{{instance}} in other"),
    ),
    lines(
        "Series per scrape",
        "Series that Prometheus scrapes from each process.",
        Look(span=8),
        Ask(f"max by (instance) (scrape_samples_scraped {LEAKWATCH})", "{{instance}}"),
    ),
    lines(
        "Time to answer Prometheus",
        "Duration of /metrics. If it is near scrape_timeout, lower metrics.stacks_per_target or add shards.",
        Look("s", span=8),
        Ask(f"max by (instance) (scrape_duration_seconds {LEAKWATCH})", "{{instance}}"),
    ),
]


OTHERS: Panels = [
    lines(
        "Discovered targets",
        "Discovered addresses per job: kept, dropped by relabel_configs, or invalid.",
        Look(span=8),
        Ask(f"sum by (scrape_job, state) (leakwatch_discovered_targets{CHOSEN})", "{{scrape_job}} {{state}}"),
    ),
    lines(
        "Discovery failures",
        "Failed reads of a source of targets. The last targets stay.",
        Look("cpm", span=8),
        Ask(
            f"60 * sum by (scrape_job, mechanism) (rate(leakwatch_discovery_failures_total{CHOSEN}[{RATE}]))",
            "{{scrape_job}} {{mechanism}}",
        ),
    ),
    lines(
        "Notifications",
        "Alerts that leakwatch pushes to Alertmanagers (`alerting`), and failed attempts.",
        Look("cpm", span=8, empty="leakwatch does not push alerts"),
        Ask(
            f"60 * sum by (alertmanager) (rate(leakwatch_notifications_sent_total{CHOSEN}[{RATE}]))",
            "sent to {{alertmanager}}",
        ),
        Ask(
            f"60 * sum by (alertmanager) (rate(leakwatch_notifications_failed_total{CHOSEN}[{RATE}]))",
            "failed to {{alertmanager}}",
        ),
    ),
    rows(
        "Ignore rules",
        "Leaks that each rule hides. A rule with 0 may be misspelled or no longer needed.",
        Look(span=12, height=7, empty="no rules"),
        [Ask(f"max by (rule) (leakwatch_ignored_leaks{CHOSEN})", "leaks")],
        ["rule"],
        [Column("leaks", width=80)],
        "leaks",
    ),
    rows(
        "Processes",
        "Version, Python and the time at which the configuration was loaded.",
        Look(span=12, height=7),
        [
            Ask(f"max by (instance, version, python) (leakwatch_build_info{CHOSEN})", ""),
            Ask(
                f"1000 * max by (instance) (leakwatch_config_last_reload_success_timestamp_seconds{CHOSEN})",
                "configured",
            ),
            Ask(f"1000 * max by (instance) (process_start_time_seconds {LEAKWATCH})", "started"),
        ],
        ["instance", "version", "python"],
        [Column("configured", "dateTimeFromNow", 150), Column("started", "dateTimeFromNow", 150)],
        "started",
    ),
]


def dashboard() -> Dashboard:
    """Return the dashboard."""
    return framed(
        ITSELF,
        {"Now": NUMBERS, "Scrapes": SCRAPES, "Cost": COST, "Discovery and delivery": OTHERS},
    )
