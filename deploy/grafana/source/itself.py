"""leakwatch itself: whether it runs, what it costs, whether it reaches what it watches and whom it tells."""

from frame import Frame
from frame import dashboard as framed
from grafana_foundation_sdk.models.dashboard import Dashboard
from parts import Ask, Column, Look, Marks, Panels, choice, figure, lines, number, rows

MINE = '{instance=~"$instance"}'
OURS = f"and on (instance, job) leakwatch_build_info{MINE}"
"""Series that every program has, of leakwatch alone."""
RATE = "$__rate_interval"
CPU = f"rate(process_cpu_seconds_total[{RATE}]) {OURS}"

ITSELF = Frame(
    uid="leakwatch-itself",
    title="leakwatch: itself",
    about="The leakwatch processes: whether they run, what they cost, what they reach and whom they tell.",
    since="now-6h",
    refresh="30s",
    variables=[choice("instance", "label_values(leakwatch_build_info, instance)", "leakwatch processes, shards")],
    marks=[
        Marks(
            "Starts",
            "blue",
            f"(process_start_time_seconds {OURS}) unless process_start_time_seconds"
            " == last_over_time(process_start_time_seconds[10m] offset $__interval)",
            "{{instance}} started",
            "A new leakwatch process.",
        ),
        Marks(
            "Configuration",
            "purple",
            # A second is more than what a clock that is set right now and then changes.
            f"leakwatch_config_last_reload_success_timestamp_seconds{MINE} -"
            " last_over_time(leakwatch_config_last_reload_success_timestamp_seconds[10m] offset $__interval) > 1",
            "{{instance}} took a configuration over",
            "",
        ),
    ],
)


KNOWN = f"last_over_time(leakwatch_build_info{MINE}[1d])"
NUMBERS: Panels = [
    number(
        "Processes",
        "leakwatch processes that Prometheus reaches, and those it has seen within a day.",
        figure(),
        Ask(f"sum(up and on (instance, job) {KNOWN})", "up"),
        Ask(f"count(group by (instance, job) ({KNOWN}))", "seen"),
    ),
    number(
        "Targets",
        "Targets that are scraped, and those whose latest scrape succeeded.",
        figure(),
        Ask(f"count(leakwatch_up{MINE})", "all"),
        Ask(f"sum(leakwatch_up{MINE})", "up"),
    ),
    number(
        "Configuration",
        "Processes that run on an old configuration since the file is bad; their log names the line.",
        figure(levels={1: "red"}),
        Ask(
            f"count(leakwatch_config_last_reload_successful{MINE} == 0"
            f" or leakwatch_web_config_last_reload_successful{MINE} == 0) or vector(0)",
            "bad",
        ),
    ),
    number("CPU", "Cores used by all processes.", Look("none", 4), Ask(f"sum({CPU})", "cores")).decimals(2),
    number(
        "Memory",
        "Resident memory of the largest process.",
        figure("bytes"),
        Ask(f"max(process_resident_memory_bytes {OURS})", "resident"),
    ),
    number(
        "Series",
        "What Prometheus takes from all processes per scrape.",
        figure(),
        Ask(f"sum(scrape_samples_scraped {OURS})", "series"),
    ),
]


SCRAPES: Panels = [
    lines(
        "Targets by process",
        "What each process watches. Shards should have about as many each.",
        Look(span=8),
        Ask(f"count by (instance) (leakwatch_up{MINE})", "{{instance}}"),
        stacked=True,
    ),
    lines(
        "Scrapes by result",
        "All that is not `success` is a gap in what leakwatch knows; docs/metrics.md has the reasons.",
        Look("reqps", span=8),
        Ask(f"sum by (result) (rate(leakwatch_scrapes_total{MINE}[{RATE}]))", "{{result}}"),
        stacked=True,
    ),
    lines(
        "Duration of scrapes",
        "Over the targets: half are quicker, 99 of 100 are quicker, the slowest.",
        Look("s", span=8),
        Ask(f"quantile(0.5, leakwatch_scrape_duration_seconds{MINE})", "median"),
        Ask(f"quantile(0.99, leakwatch_scrape_duration_seconds{MINE})", "99 %"),
        Ask(f"max(leakwatch_scrape_duration_seconds{MINE})", "slowest"),
    ),
    lines(
        "Time between scrapes",
        "Longer than configured where a scrape would cost its target too much: leaks are found later there.",
        Look("s", span=8),
        Ask(f"quantile(0.5, leakwatch_scrape_interval_seconds{MINE})", "median"),
        Ask(f"max(leakwatch_scrape_interval_seconds{MINE})", "longest"),
    ),
    lines(
        "Bytes read",
        "Bodies of the latest scrapes, decompressed: the largest, and all of them once around.",
        Look("bytes", span=8),
        Ask(f"max(leakwatch_scrape_body_bytes{MINE})", "largest"),
        Ask(f"sum(leakwatch_scrape_body_bytes{MINE})", "all"),
    ),
    lines(
        "Targets not judged",
        "Down, or mixed: several processes answer in turn, as behind a load balancer.",
        Look(span=8),
        Ask(f"count(leakwatch_up{MINE} == 0) or vector(0)", "down"),
        Ask(f"count(leakwatch_target_mixed{MINE} == 1) or vector(0)", "mixed"),
        stacked=True,
    ),
]


COST: Panels = [
    lines("CPU", "Cores used.", Look("none", span=8), Ask(f"sum by (instance) ({CPU})", "{{instance}}")),
    lines(
        "Memory",
        "Resident.",
        Look("bytes", span=8),
        Ask(f"max by (instance) (process_resident_memory_bytes {OURS})", "{{instance}}"),
    ),
    lines(
        "Open files",
        "Share of the limit of the process; a connection is one.",
        Look("percentunit", span=8, levels={0.8: "red"}),
        Ask(f"max by (instance) (process_open_fds / process_max_fds {OURS})", "{{instance}}"),
    ),
    lines(
        "Stack series",
        "Exported, at most metrics.series_limit per process; and how many stacks are in stack=other.",
        Look(span=8),
        Ask(f"count by (instance) (leakwatch_stack_goroutines{MINE})", "{{instance}} exported"),
        Ask(f"sum by (instance) (leakwatch_stacks_other{MINE})", "{{instance}} in other"),
    ),
    lines(
        "Series per scrape",
        "What Prometheus takes from each process.",
        Look(span=8),
        Ask(f"max by (instance) (scrape_samples_scraped {OURS})", "{{instance}}"),
    ),
    lines(
        "Time to answer Prometheus",
        "How long /metrics takes. Near scrape_timeout: lower metrics.stacks_per_target, or add shards.",
        Look("s", span=8),
        Ask(f"max by (instance) (scrape_duration_seconds {OURS})", "{{instance}}"),
    ),
]


OTHERS: Panels = [
    lines(
        "Discovered targets",
        "Addresses found per job: kept, dropped by relabel_configs, or invalid.",
        Look(span=8),
        Ask(f"sum by (job, state) (leakwatch_discovered_targets{MINE})", "{{job}} {{state}}"),
    ),
    lines(
        "Discovery failures",
        "A place where targets are found gave no good answer; the last list stays in force.",
        Look("cpm", span=8),
        Ask(
            f"60 * sum by (job, mechanism) (rate(leakwatch_discovery_failures_total{MINE}[{RATE}]))",
            "{{job}} {{mechanism}}",
        ),
    ),
    lines(
        "Notifications",
        "Alerts that leakwatch itself pushes to Alertmanagers (`alerting`), and attempts that failed.",
        Look("cpm", span=8, empty="leakwatch pushes no alerts"),
        Ask(
            f"60 * sum by (alertmanager) (rate(leakwatch_notifications_sent_total{MINE}[{RATE}]))",
            "sent to {{alertmanager}}",
        ),
        Ask(
            f"60 * sum by (alertmanager) (rate(leakwatch_notifications_failed_total{MINE}[{RATE}]))",
            "failed to {{alertmanager}}",
        ),
    ),
    rows(
        "Rules of ignore",
        "Leaks that each rule keeps out of sight. One with 0 may be misspelled, or of no use any more.",
        Look(span=12, height=7, empty="no rules"),
        [Ask(f"max by (rule) (leakwatch_ignored_leaks{MINE})", "leaks")],
        ["rule"],
        [Column("leaks", width=80)],
        "leaks",
    ),
    rows(
        "Processes",
        "Version, Python and when the configuration was taken over.",
        Look(span=12, height=7),
        [
            Ask(f"max by (instance, version, python) (leakwatch_build_info{MINE})", ""),
            Ask(
                f"1000 * max by (instance) (leakwatch_config_last_reload_success_timestamp_seconds{MINE})",
                "configured",
            ),
            Ask(f"1000 * max by (instance) (process_start_time_seconds {OURS})", "started"),
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
