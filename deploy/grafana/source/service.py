"""The dashboard of one service: its leaks over time and by target, restarts, cost of scraping."""

from frame import Frame
from frame import dashboard as framed
from grafana_foundation_sdk.models.dashboard import Dashboard
from parts import (
    PER_HOUR,
    PROCESS,
    SEVERITY,
    VERDICTS,
    Ask,
    Column,
    Look,
    Marks,
    Panels,
    choice,
    figure,
    lines,
    number,
    once,
    rows,
    timeline,
)

ALL = '{service="$service"}'
EACH = '{service="$service",target=~"$target"}'
CHOSEN = '{service="$service",stack=~"$leak"}'
CERTAIN = "leaking|proven"
HELD = "leaking|proven|plateau"


def judged(metric: str, verdicts: str) -> str:
    """Return the series of a metric of the leaks of the service that have one of these verdicts."""
    return (
        f"leakwatch_leak_{metric}{ALL}"
        f' and ignoring (verdict) leakwatch_leak_verdict{{service="$service",verdict=~"{verdicts}"}} == 1'
    )


SERVICE = Frame(
    uid="leakwatch-service",
    title="leakwatch: service",
    about="One service: its leaks with start and targets, and the cost of scraping.",
    since="now-6h",
    refresh="30s",
    variables=[
        choice(
            "service", "label_values(leakwatch_up, service)", "Targets that run the same program", several=False
        ),
        choice("target", f"label_values(leakwatch_up{ALL}, target)", "Targets of the service"),
        choice(
            "leak",
            f"query_result(max by (stack, function) (max_over_time(leakwatch_leak_goroutines{ALL}[$__range])))",
            "Leaks reported in the selected time range",
            regex=r'/function="(?<text>[^"]*).*stack="(?<value>[^"]+)/',
            wild="",  # without a leak, select nothing instead of every stack
        ),
    ],
    marks=[
        Marks(
            "Restarts",
            "blue",
            f"max by (target) (increase(leakwatch_process_restarts_total{EACH}[$__rate_interval])) > 0",
            "{{target}} restarted",
            "A new process answers. The leaked goroutines of the old process are gone.",
        ),
        Marks(
            "Verdicts",
            "red",
            f"group by (function, stack, verdict) (leakwatch_leak_verdict{CHOSEN} == 1)"
            # A gap of up to ten minutes, such as a restart of leakwatch, is not a new verdict.
            " unless group by (function, stack, verdict)"
            f" (max_over_time(leakwatch_leak_verdict{CHOSEN}[10m] offset $__interval) == 1)",
            "{{verdict}}",
            "{{function}}, stack {{stack}}",
        ),
    ],
    page=f"leakwatch_up{ALL}",
)


NUMBERS: Panels = [
    number(
        "Goroutines",
        "Goroutines in the latest profiles of all targets that are up.",
        figure(),
        Ask(f"sum({once(f'leakwatch_goroutines{ALL}')})", "goroutines"),
    ),
    number(
        "Targets",
        "Targets whose latest scrape succeeded, and all targets.",
        figure(),
        Ask(f"sum({once(f'leakwatch_up{ALL}')})", "up"),
        Ask(f"count({once(f'leakwatch_up{ALL}')})", "all"),
    ),
    number(
        "Leaks",
        "Leaking stacks.",
        figure(levels={1: "red"}),
        Ask(f"count(group by (stack) ({judged('goroutines', CERTAIN)})) or vector(0)", "leaks"),
    ),
    number(
        "Held by leaks",
        "Goroutines in leaks, including leaks that stopped growing.",
        figure(levels={1: "orange"}),
        Ask(f"sum(max by (stack) ({judged('goroutines', HELD)})) or vector(0)", "goroutines"),
    ),
    number(
        "Growth",
        "Growth of all leaks, in goroutines per hour.",
        figure(PER_HOUR, {1: "orange"}),
        Ask(
            f"3600 * sum(max by (stack) ({judged('growth_goroutines_per_second', CERTAIN)})) or vector(0)",
            "growth",
        ),
    ),
    number(
        "Restarts",
        "Number of times that a new process answered, over all targets, in the selected time range.",
        figure(),
        Ask(
            f"round(sum(max by (target) (increase(leakwatch_process_restarts_total{ALL}[$__range]))))",
            "restarts",
        ),
    ),
]


MEMORY = f"leakwatch_leak_resident_bytes{ALL} or leakwatch_leak_bytes{ALL}"
MEMORY_CHOSEN = f"leakwatch_leak_resident_bytes{CHOSEN} or leakwatch_leak_bytes{CHOSEN}"


def column(metric: str, name: str, scale: str = "", of: str = "max") -> Ask:
    """Return the query for a column in the table of leaks, from a metric with the labels of leaks."""
    return Ask(
        f"{scale}{of} by (function, wait, owner, stack) ({metric})"
        # One place per stack, even if two builds of the service or of leakwatch report different places.
        " * on (stack) group_left (file, line, origin)"
        f" topk by (stack) (1, leakwatch_stack_info and on (stack) leakwatch_leak_goroutines{ALL})",
        name,
    )


VERDICT = " or ".join(
    f'{place} * group by (function, stack, verdict) (leakwatch_leak_verdict{{service="$service",'
    f'stack=~"$leak",verdict="{verdict}"}} == 1)'
    for place, verdict in enumerate(VERDICTS, 1)
)
TO_PAGE = "${page}leaks/${service:percentencode}/${__data.fields.stack:percentencode}"
LEAKS: Panels = [
    rows(
        "Leaks",
        "All leaks, with place in the code, goroutines, growth, start, memory, and the time until a memory limit.",
        Look(span=24, height=7, empty="no leak"),
        [
            column(f"leakwatch_leak_goroutines{ALL}", "goroutines"),
            column(f"leakwatch_leak_growth_goroutines_per_second{ALL}", "growth", "3600 * "),
            column(f"leakwatch_leak_first_seen_timestamp_seconds{ALL}", "since", "1000 * ", "min"),
            column(f"leakwatch_leak_page{ALL}", "severity"),
            column(MEMORY, "memory"),
            column(f"leakwatch_leak_growth_bytes_per_second{ALL}", "memory growth per hour", "3600 * "),
            column(f"leakwatch_leak_until_memory_limit_seconds{ALL}", "limit reached in", of="min"),
            Ask(f"max by (function, wait, owner, stack, verdict) (leakwatch_leak_verdict{ALL} == 1)", ""),
        ],
        ["function", "file", "line", "wait", "verdict", "owner"],
        [
            Column("function", links={"leakwatch's page": TO_PAGE}),
            Column("line", width=60),
            Column("wait", width=120),
            Column("verdict", width=100, colors=VERDICTS),
            Column("owner", width=120),
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
    ),
    timeline(
        "Verdicts",
        "Verdict of each leak over time.",
        Look(span=24, height=6, empty="no leak"),
        Ask(f"max by (function, stack) ({VERDICT})", "{{function}} {{stack}}"),
    ),
]


MEMORY_PANELS: Panels = [
    lines(
        "Memory held by each leak",
        "Memory of stacks and heap, only of stacks if the heap is unknown. Absent until it is measured.",
        Look("bytes", span=8, empty="no leak"),
        Ask(f"max by (function, stack) ({MEMORY_CHOSEN})", "{{function}} {{stack}}"),
    ),
    lines(
        "Memory growth of each leak",
        "Growth of this memory per hour, over all targets of the service.",
        Look("bytes", span=8, empty="no leak"),
        Ask(
            f"3600 * max by (function, stack) (leakwatch_leak_growth_bytes_per_second{CHOSEN})",
            "{{function}} {{stack}}",
        ),
    ),
    lines(
        "Time until the memory limit",
        "Time until the first target reaches its memory limit at the current growth. Absent if no limit is known.",
        Look("dtdurations", span=8, empty="no leak with a memory limit"),
        Ask(
            f"min by (function, stack, bound) (leakwatch_leak_until_memory_limit_seconds{CHOSEN})",
            "{{function}} {{stack}} {{bound}}",
        ),
    ),
]


LEAKING = once('leakwatch_stack_goroutines{service="$service",target=~"$target",stack=~"$leak"}')
STACKS: Panels = [
    lines(
        "Goroutines in leaking stacks",
        "Each stack over the selected targets, including the time before it was reported.",
        Look(empty="no leak"),
        Ask(f"sum by (function, stack) ({LEAKING})", "{{function}} {{stack}}"),
    ),
    lines(
        "Growth of each leak",
        "Growth over all targets of the service. It is fitted to blocks, so it lags behind the counts.",
        Look(PER_HOUR, empty="no leak"),
        Ask(
            f"3600 * max by (function, stack) (leakwatch_leak_growth_goroutines_per_second{CHOSEN})",
            "{{function}} {{stack}}",
        ),
    ),
    lines(
        "Goroutines in leaking stacks, by target",
        "Each stack by target. A drop to zero is a restart. A flat line does not leak.",
        Look(empty="no leak"),
        Ask(f"sum by (target, function, stack) ({LEAKING})", "{{target}} {{function}} {{stack}}"),
    ),
    lines(
        "Share of goroutines that leaked",
        "Goroutines in leaks as a share of all goroutines of the service.",
        Look("percentunit", empty="no leak"),
        Ask(
            f"sum(max by (stack) ({judged('goroutines', HELD)})) / sum({once(f'leakwatch_goroutines{ALL}')})",
            "leaked",
        ),
    ),
]


COST = (
    f"sum without ({PROCESS}) (leakwatch_scrape_duration_seconds{EACH} / leakwatch_scrape_interval_seconds{EACH})"
)
TARGETS: Panels = [
    lines(
        "Goroutines by target",
        "Goroutines in the latest profile. A gap means that the target or leakwatch was down.",
        Look(),
        Ask(once(f"leakwatch_goroutines{EACH}"), "{{target}}"),
    ),
    lines(
        "Restarts",
        "Number of times that a new process answered. A restart frees leaked goroutines, but leakwatch keeps the"
        " history.",
        Look(),
        Ask(
            f"max by (target) (increase(leakwatch_process_restarts_total{EACH}[$__rate_interval]))",
            "{{target}}",
        ),
    ),
    lines(
        "Cost of scraping",
        "The largest share of one core that a target may spend on scrapes, summed over leakwatch processes."
        " leakwatch stretches the interval to stay below scrape_cost_limit (default: 1 %).",
        Look("percentunit", levels={0.01: "red"}),
        Ask(COST, "{{target}}"),
    ),
    lines(
        "Scrapes by result",
        "Every result except `success` is a gap in the history. docs/metrics.md lists the reasons.",
        Look("reqps"),
        Ask(
            f"sum by (result) (rate(leakwatch_scrapes_total{EACH}[$__rate_interval]))",
            "{{result}}",
        ),
        stacked=True,
    ),
    rows(
        "Targets now",
        "The process of each target: `start` changes with each process start, `build` with each build. `mixed`:"
        " several processes answer behind one address, and the target is not judged. `interval` is stretched if"
        " scraping would exceed the cost limit.",
        Look(span=24, height=8),
        [
            Ask(f"max by (target) (leakwatch_up{EACH})", "up"),
            Ask(f"max by (target) (leakwatch_goroutines{EACH})", "goroutines"),
            Ask(f"max by (target) (leakwatch_stacks{EACH})", "stacks"),
            Ask(f"max by (target) (leakwatch_target_mixed{EACH})", "mixed"),
            Ask(f"max by (target) (leakwatch_scrape_interval_seconds{EACH})", "interval"),
            Ask(f"max by (target) (leakwatch_scrape_duration_seconds{EACH})", "scrape"),
            Ask(f"max by (target) (leakwatch_scrape_body_bytes{EACH})", "body"),
            Ask(f"max by (target, start, build) (leakwatch_process_info{EACH})", ""),
        ],
        ["target"],
        [
            Column("up", width=60),
            Column("mixed", width=70),
            Column("interval", "s", 90),
            Column("scrape", "s", 90),
            Column("body", "bytes", 90),
        ],
        "goroutines",
    ),
]


def dashboard() -> Dashboard:
    """Return the dashboard."""
    stacks = {"Stacks over time": STACKS, "Memory": MEMORY_PANELS}
    return framed(SERVICE, {"Now": NUMBERS, "Leaks": LEAKS, **stacks, "Targets": TARGETS})
