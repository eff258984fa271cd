"""One service: its leaks over time, on which targets, and what watching costs them."""

from frame import Frame
from frame import dashboard as framed
from grafana_foundation_sdk.models.dashboard import Dashboard
from parts import (
    PER_HOUR,
    PROCESS,
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
CERTAIN = '{service="$service",verdict=~"leaking|proven"}'
HELD = '{service="$service",verdict=~"leaking|proven|plateau"}'

SERVICE = Frame(
    uid="leakwatch-service",
    title="leakwatch: service",
    about="One service: what leaks, since when, on which targets, and what watching costs them.",
    since="now-6h",
    refresh="30s",
    variables=[
        choice(
            "service", "label_values(leakwatch_up, service)", "The targets that run one program", several=False
        ),
        choice("target", f"label_values(leakwatch_up{ALL}, target)", "Processes of the service"),
        choice(
            "leak",
            f"query_result(max by (stack, function) (max_over_time(leakwatch_leak_goroutines{ALL}[$__range])))",
            "Leaks that were told in the time shown",
            regex=r'/function="(?<text>[^"]*).*stack="(?<value>[^"]+)/',
            wild="",  # without a leak nothing is meant, not every stack
        ),
    ],
    marks=[
        Marks(
            "Restarts",
            "blue",
            f"max by (target) (increase(leakwatch_process_restarts_total{EACH}[$__rate_interval])) > 0",
            "{{target}} restarted",
            "Another process answers: what had leaked there is gone.",
        ),
        Marks(
            "Verdicts",
            "red",
            f"group by (function, stack, verdict) (leakwatch_leak_goroutines{CHOSEN})"
            # A gap of ten minutes, as while leakwatch restarts, makes no new verdict.
            " unless group by (function, stack, verdict)"
            f" (max_over_time(leakwatch_leak_goroutines{CHOSEN}[10m] offset $__interval))",
            "{{verdict}}",
            "{{function}}, stack {{stack}}",
        ),
    ],
    page=True,
)


NUMBERS: Panels = [
    number(
        "Goroutines",
        "In the latest profiles of all targets that are up.",
        figure(),
        Ask(f"sum({once(f'leakwatch_goroutines{ALL}')})", "goroutines"),
    ),
    number(
        "Targets",
        "Targets whose latest scrape succeeded, and all of them.",
        figure(),
        Ask(f"sum({once(f'leakwatch_up{ALL}')})", "up"),
        Ask(f"count({once(f'leakwatch_up{ALL}')})", "all"),
    ),
    number(
        "Leaks",
        "Stacks that leak now.",
        figure(levels={1: "red"}),
        Ask(f"count(group by (stack) (leakwatch_leak_goroutines{CERTAIN})) or vector(0)", "leaks"),
    ),
    number(
        "Held by leaks",
        "Goroutines in leaks, those that stopped growing included.",
        figure(levels={1: "orange"}),
        Ask(f"sum(max by (stack) (leakwatch_leak_goroutines{HELD})) or vector(0)", "goroutines"),
    ),
    number(
        "Growth",
        "Goroutines that all leaks gain per hour.",
        figure(PER_HOUR, {1: "orange"}),
        Ask(
            f"3600 * sum(max by (stack) (leakwatch_leak_growth_goroutines_per_second{CERTAIN})) or vector(0)",
            "growth",
        ),
    ),
    number(
        "Restarts",
        "Times that another process answered, all targets, in the time shown.",
        figure(),
        Ask(
            f"round(sum(max by (target) (increase(leakwatch_process_restarts_total{ALL}[$__range]))))",
            "restarts",
        ),
    ),
]


def column(metric: str, name: str, scale: str = "", of: str = "max") -> Ask:
    """Return the query for a column of the table of leaks."""
    return Ask(
        f"{scale}{of} by (function, wait, verdict, owner, stack) (leakwatch_leak_{metric}{ALL})"
        # One place per stack, also while two builds of leakwatch or of the service say two.
        " * on (stack) group_left (file, line, origin)"
        f" topk by (stack) (1, leakwatch_stack_info and on (stack) leakwatch_leak_goroutines{ALL})",
        name,
    )


THOUGHT = " or ".join(
    f'{place} * group by (function, stack, verdict) (leakwatch_leak_goroutines{{service="$service",'
    f'stack=~"$leak",verdict="{verdict}"}})'
    for place, verdict in enumerate(VERDICTS, 1)
)
TO_PAGE = "${page}/leaks/${service:percentencode}/${__data.fields.stack:percentencode}"
LEAKS: Panels = [
    rows(
        "Leaks",
        "Every leak, where in the code it is, how many goroutines it holds, how fast it grows and since when.",
        Look(span=24, height=7, empty="no leak"),
        [
            column("goroutines", "goroutines"),
            column("growth_goroutines_per_second", "growth", "3600 * "),
            column("first_seen_timestamp_seconds", "since", "1000 * ", "min"),
            column("confidence_ratio", "confidence"),
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
            Column("confidence", "percentunit", 100),
            Column("stack", width=160),
        ],
        "growth",
    ),
    timeline(
        "Verdicts",
        "What leakwatch thought of each leak, over time.",
        Look(span=24, height=6, empty="no leak"),
        Ask(f"max by (function, stack) ({THOUGHT})", "{{function}} {{stack}}"),
    ),
]


LEAKING = once('leakwatch_stack_goroutines{service="$service",target=~"$target",stack=~"$leak"}')
STACKS: Panels = [
    lines(
        "Goroutines in leaking stacks",
        "Each stack over all targets chosen above, also before it was told.",
        Look(empty="no leak"),
        Ask(f"sum by (function, stack) ({LEAKING})", "{{function}} {{stack}}"),
    ),
    lines(
        "Growth of each leak",
        "Over all targets of the service; fitted to blocks, so it lags behind the counts.",
        Look(PER_HOUR, empty="no leak"),
        Ask(
            f"3600 * max by (function, stack) (leakwatch_leak_growth_goroutines_per_second{CHOSEN})",
            "{{function}} {{stack}}",
        ),
    ),
    lines(
        "Goroutines in leaking stacks, by target",
        "Which targets leak. A line that falls to the ground is a restart; one that is flat does not leak.",
        Look(empty="no leak"),
        Ask(f"sum by (target, function, stack) ({LEAKING})", "{{target}} {{function}} {{stack}}"),
    ),
    lines(
        "Share of goroutines that leaked",
        "What leaks hold, of all goroutines of the service.",
        Look("percentunit", empty="no leak"),
        Ask(
            f"sum(max by (stack) (leakwatch_leak_goroutines{HELD})) / sum({once(f'leakwatch_goroutines{ALL}')})",
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
        "In the latest profile. A gap: the target is down, or leakwatch was.",
        Look(),
        Ask(once(f"leakwatch_goroutines{EACH}"), "{{target}}"),
    ),
    lines(
        "Restarts",
        "Times that another process answered. Restarts empty a leak, and leakwatch goes on with what it knew.",
        Look(),
        Ask(
            f"max by (target) (increase(leakwatch_process_restarts_total{EACH}[$__rate_interval]))",
            "{{target}}",
        ),
    ),
    lines(
        "Cost of being watched",
        "The share of one core that a target may spend on scrapes; two leakwatch processes add up. leakwatch"
        " stretches its interval to stay below scrape_cost_limit, 1 % unless changed.",
        Look("percentunit", levels={0.01: "red"}),
        Ask(COST, "{{target}}"),
    ),
    lines(
        "Scrapes by result",
        "All that is not `success` is a gap in what leakwatch knows; docs/metrics.md has the reasons.",
        Look("reqps"),
        Ask(
            f"sum by (result) (rate(leakwatch_scrapes_total{EACH}[$__rate_interval]))",
            "{{result}}",
        ),
        stacked=True,
    ),
    rows(
        "Targets now",
        "The process that answers: `start` is another after each start, `build` after each build. `mixed`:"
        " several processes answer in turn, as behind a load balancer, and nothing is judged. `interval` is"
        " stretched where a scrape would cost too much.",
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
    return framed(SERVICE, {"Now": NUMBERS, "Leaks": LEAKS, "Stacks over time": STACKS, "Targets": TARGETS})
