"""The dashboard of the fleet: leaks with owner and growth, targets that are down. Needs the recording rules."""

from frame import Frame
from frame import dashboard as framed
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import Dashboard
from parts import (
    PER_HOUR,
    SEVERITY,
    VERDICTS,
    Ask,
    Column,
    Look,
    Marks,
    Panels,
    bars,
    choice,
    figure,
    lines,
    number,
    rows,
)

FLEET = Frame(
    uid="leakwatch-fleet",
    title="leakwatch: fleet",
    about="Leaks of all services, with owner and growth. Needs leakwatch.recording.yml in Prometheus.",
    since="now-24h",
    refresh="1m",
    variables=[
        choice("owner", "label_values(leak:leakwatch_leak_goroutines:max, owner)", "Owner of a leak"),
        choice(
            "service", "label_values(service:leakwatch_up:count, service)", "Targets that run the same program"
        ),
    ],
    marks=[
        Marks(
            "New leaks",
            "red",
            "group by (service, function, stack) (leak:leakwatch_leak_goroutines:max"
            '{service=~"$service",owner=~"$owner",verdict=~"leaking|proven"})'
            " unless group by (service, function, stack) (max_over_time(leak:leakwatch_leak_goroutines:max"
            '{service=~"$service",owner=~"$owner",verdict=~"leaking|proven"}[1d] offset $__interval))',
            "{{service}} leaks",
            "{{function}}, stack {{stack}}",
        )
    ],
    page="leakwatch_build_info",
)

CHOSEN = 'service=~"$service",owner=~"$owner"'
OPEN = f'{{{CHOSEN},verdict!="recovered"}}'
CERTAIN = f'{{{CHOSEN},verdict=~"leaking|proven"}}'
HELD = f'{{{CHOSEN},verdict=~"leaking|proven|plateau"}}'
SERVICES = '{service=~"$service"}'
TO_SERVICE = (
    "/d/leakwatch-service?var-datasource=${datasource}&var-service=${__data.fields.service:percentencode}"
    "&var-leak=${__data.fields.stack:percentencode}&${__url_time_range}"
)
TO_PAGE = "${page}leaks/${__data.fields.service:percentencode}/${__data.fields.stack:percentencode}"
ONE_SERVICE = (
    "/d/leakwatch-service?var-datasource=${datasource}&var-service=${__field.labels.service:percentencode}"
    "&${__url_time_range}"
)
MINUTE = "1m"


NUMBERS: Panels = [
    number(
        "Leaks",
        "Leaking stacks of the selected services and owners.",
        figure(interval=MINUTE, levels={1: "red"}),
        Ask(f"count(leak:leakwatch_leak_goroutines:max{CERTAIN}) or vector(0)", "leaks"),
    ),
    number(
        "Suspected",
        "Stacks where more goroutines arrive than leave, but not clearly enough to call it a leak.",
        figure(interval=MINUTE, levels={1: "yellow"}),
        Ask(
            f'count(leak:leakwatch_leak_goroutines:max{{{CHOSEN},verdict="suspected"}}) or vector(0)',
            "suspected",
        ),
    ),
    number(
        "Held by leaks",
        "Goroutines in leaks, including leaks that stopped growing.",
        figure(interval=MINUTE, levels={1: "orange"}),
        Ask(f"sum(leak:leakwatch_leak_goroutines:max{HELD}) or vector(0)", "goroutines"),
    ),
    number(
        "Growth",
        "Growth of all leaks, in goroutines per hour.",
        figure(PER_HOUR, interval=MINUTE, levels={1: "orange"}),
        Ask(
            f"3600 * sum(leak:leakwatch_leak_growth_goroutines_per_second:max{CERTAIN}) or vector(0)",
            "growth",
        ),
    ),
    number(
        "Targets up",
        "Targets whose latest scrape succeeded. Leaks of other targets are not detected.",
        figure("percentunit", interval=MINUTE, levels={0: "red", 0.95: "orange", 0.999: "green"}),
        Ask(f"sum(service:leakwatch_up:sum{SERVICES}) / sum(service:leakwatch_up:count{SERVICES})", "up"),
    ),
    number(
        "Watched",
        "Services and targets that leakwatch has scraped.",
        figure(interval=MINUTE),
        Ask(f"count(service:leakwatch_up:count{SERVICES})", "services"),
        Ask(f"sum(service:leakwatch_up:count{SERVICES})", "targets"),
    ),
]


def column(record: str, name: str, scale: str = "") -> Ask:
    """Return the query for a column in the table of leaks."""
    # `without ()` drops only the name, so that your own labels (cluster, namespace) become columns too.
    return Ask(f"{scale}max without () (leak:{record}{OPEN})", name)


LEAKS: Panels = [
    rows(
        "Open leaks",
        "All leaks, the fastest first, with growth, goroutines, start and blamed function. A click on a function"
        " opens the service dashboard with this leak.",
        Look(span=24, height=11, interval=MINUTE, empty="no leak"),
        [
            column("leakwatch_leak_goroutines:max", "goroutines"),
            column("leakwatch_leak_growth_goroutines_per_second:max", "growth", "3600 * "),
            column("leakwatch_leak_first_seen_timestamp_seconds:min", "since", "1000 * "),
            column("leakwatch_leak_page:max", "severity"),
            column("leakwatch_leak_resident_bytes:max", "memory"),
            column("leakwatch_leak_growth_bytes_per_second:max", "memory growth per hour", "3600 * "),
            column("leakwatch_leak_until_memory_limit_seconds:min", "limit reached in"),
        ],
        ["service", "function", "wait", "verdict", "owner"],
        [
            Column("service", width=180),
            Column("function", links={"This leak": TO_SERVICE, "leakwatch's page": TO_PAGE}),
            Column("wait", width=120),
            Column("verdict", width=100, colors=VERDICTS),
            Column("owner", width=140),
            Column("goroutines", "short", 110),
            Column("growth", PER_HOUR, 110),
            Column("since", "dateTimeFromNow", 140),
            SEVERITY,
            Column("memory", "bytes", 100),
            Column("memory growth per hour", "bytes", 110),
            Column("limit reached in", "dtdurations", 130),
            Column("stack", width=160),
        ],
        "growth",
    )
]


look = Look(interval=MINUTE, empty="no leak")
OVER_TIME: Panels = [
    lines(
        "Leaks by verdict",
        "Number of stacks by verdict.",
        look,
        Ask(f"count by (verdict) (leak:leakwatch_leak_goroutines:max{{{CHOSEN}}})", "{{verdict}}"),
        stacked=True,
    ),
    lines(
        "Goroutines held by leaks, largest services",
        "The ten services with the most goroutines in leaks, including leaks that stopped growing.",
        look,
        Ask(f"topk(10, sum by (service) (leak:leakwatch_leak_goroutines:max{HELD}))", "{{service}}"),
        stacked=True,
    ),
    bars(
        "Fastest growing services",
        "The ten services with the fastest growth, summed over their leaks.",
        Look(PER_HOUR, span=8, interval=MINUTE, levels={60.0: "orange", 1000.0: "red"}, empty="no leak"),
        Ask(
            f"topk(10, 3600 * sum by (service) (leak:leakwatch_leak_growth_goroutines_per_second:max{CERTAIN}))",
            "{{service}}",
        ),
    ).data_links([build.DashboardLink("This service").url(ONE_SERVICE)]),
    lines(
        "Leaks by owner",
        "Leaks by owner. Without a name: nothing in `owners` or `codeowners` in the configuration matches.",
        Look(span=8, interval=MINUTE, empty="no leak"),
        Ask(f"count by (owner) (leak:leakwatch_leak_goroutines:max{CERTAIN})", "{{owner}}"),
        stacked=True,
    ),
    lines(
        "Goroutines, largest services",
        "All goroutines of the ten largest services, leaked or not.",
        Look(span=8, interval=MINUTE),
        Ask(f"topk(10, service:leakwatch_goroutines:sum{SERVICES})", "{{service}}"),
    ),
]


WATCH: Panels = [
    lines(
        "Targets down",
        "Targets whose latest scrape failed, for the ten services with the most. The service dashboard shows the"
        " reasons.",
        Look(span=8, interval=MINUTE, empty="no target is down"),
        Ask(f"topk(10, service:leakwatch_up:count{SERVICES} - service:leakwatch_up:sum > 0)", "{{service}}"),
        stacked=True,
    ),
    lines(
        "Cost of scraping",
        "The largest share of one core that a target may spend on scrapes, for the ten services with the largest"
        " share. leakwatch stretches the interval to stay below scrape_cost_limit (default: 1 %).",
        Look("percentunit", span=8, interval=MINUTE, levels={0.01: "red"}),
        Ask(f"topk(10, service:leakwatch_scrape_duration_per_interval:ratio_max{SERVICES})", "{{service}}"),
    ),
    rows(
        "leakwatch processes",
        "Processes (shards) and their number of targets. up 0: the process was up in the last day, but is down.",
        Look(span=8, interval=MINUTE),
        [
            Ask("max by (instance) (up and on (instance, job) last_over_time(leakwatch_build_info[1d]))", "up"),
            Ask("max by (instance) (instance:leakwatch_up:count)", "targets"),
            Ask("max by (instance, version) (leakwatch_build_info)", ""),
        ],
        ["instance", "version"],
        [Column("version", width=90), Column("up", width=60), Column("targets", width=90)],
        "targets",
    ),
]


def dashboard() -> Dashboard:
    """Return the dashboard."""
    return framed(FLEET, {"Now": NUMBERS, "Leaks": LEAKS, "Over time": OVER_TIME, "Targets": WATCH})
