"""Leaks from production, each reproduced by a real program beside busy healthy load, and leakwatch's reports.

All run side by side under one daemon that judges blocks of two seconds, so that it takes a minute or two and not a
night. The order of the tests matters for time only: each waits for what it asserts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from leakwatch.profile import formats as saved
from leakwatch.profile.stacks import Identifier
from tests.support.running import Daemon, Programs
from tests.support.waiting import wait_for

BLOCK = 3.0
"""Seconds. In production a block takes 5 minutes."""
SETTINGS = """
global: {scrape_interval: 550ms, scrape_timeout: 550ms, scrape_cost_limit: 1}
detection: {block: 3s}
"""
"""Five intervals are less than a block: otherwise the block doubles if a scrape is late."""
OFTEN = "scrape_interval: 270ms, scrape_timeout: 270ms, "
"""Healthy goroutines share the stack: five scrapes per block are too few to see that they leave."""
BEGIN = "5s"
"""Duration of healthy load before the leaks begin."""
SETTLED = 27
"""Blocks after which a healthy load would have been confirmed: a window of 24 blocks, and 3 blocks to confirm."""
SLOWEST, FASTEST = 0.25, 1.35
"""Reported growth as a share of the nominal rate, which a busy machine does not reach."""
IO = "IO wait"
SELECT, SEND = "select", "chan send"


@dataclass(frozen=True)
class Case:
    """A leak and the expected report.

    `leaks`: function -> wait reason; `rate`: leaks per block and instance; `most`: reported leaks, each with the
    stacks that grow in step; `settings`: further keys of its job.
    """

    service: str
    program: str
    leaks: dict[str, str]
    rate: float = 5.0
    flags: tuple[str, ...] = ()
    instances: int = 1
    most: int = 1
    owner: str = ""
    origins: tuple[str, ...] = ()
    settings: str = ""


GRPC = "google.golang.org/grpc/internal/"
LOOPY = f"{GRPC}transport.(*loopyWriter).run"
WRITES = ""
"""The wait reason of a site in which one goroutine was writing at some time, while all others wait in a select."""
SESSION = "example.com/leaks/w1gateway/connect-tcp.tcpStartSession"

CASES = [
    Case(
        "gateway",
        "w1gateway",
        {SESSION: IO},
        rate=8,
        flags=("-clients", "20", "-pause", "1us"),
        owner="edge",
        origins=(SESSION,),
        settings=OFTEN,
    ),
    Case(
        "push",
        "w2push",
        {"main.(*session).reader": SEND, "main.(*session).writer": SELECT},
        owner="push",
        origins=("main.(*session).reader", "main.(*session).writer"),
    ),
    Case(
        "grpc",
        "w3grpc",
        {
            # Client and server are in the same process.
            f"{GRPC}grpcsync.(*CallbackSerializer).run": SELECT,
            LOOPY: WRITES,
            f"{GRPC}transport.(*http2Client).reader": IO,
            f"{GRPC}transport.(*http2Server).keepalive": SELECT,
            "google.golang.org/grpc.(*Server).serveStreams": IO,
            "main.(*SREClient).IMAlert": IO,
        },
        flags=("-alerts",),
        most=2,  # the alerts are a leak of their own
        owner="platform",
        origins=(
            "main.(*SREClient).IMAlert",
            f"{GRPC}transport.newHTTP2Client.func6",
            f"{GRPC}transport.NewServerTransport.func2",
            f"{GRPC}grpcsync.(*CallbackSerializer).run",
            f"{GRPC}transport.(*http2Client).reader",
            f"{GRPC}transport.(*http2Server).keepalive",
            "google.golang.org/grpc.(*Server).serveStreams",
        ),
    ),
    # Each instance leaks enough to be found alone. When they are judged together, a quarter of it will do.
    Case(
        "ssh",
        "w4ssh",
        {"main.(*Runner).Run": IO},
        rate=2.5,
        instances=4,
        owner="ops",
        origins=("main.(*Runner).Run", "main.main.func1.3.1", "main.main.func1.gowrap1"),
    ),
    Case("pipeline", "w5pipeline", {"main.FilterService": SEND}, owner="ingest", origins=("main.FilterService",)),
]
OWNERS = """
owners:
  example.com/leaks/w1gateway: edge
  main.session: push
  google.golang.org/grpc: platform
  golang.org/x/net/http2: platform
  main.SREClient: platform
  main.Runner: ops
  main.FilterService: ingest
"""
ALTERNATING = Case("alternating", "w1gateway", {SESSION: ""}, rate=8, flags=("-clients", "20"), settings=OFTEN)
"""As in production: stuck sessions are in Read half of the time; their two stacks wait for different things."""


@dataclass
class Wild:
    """All that runs: the programs by service, and the daemon that watches them."""

    start: Programs
    urls: dict[str, list[str]] = field(default_factory=dict)
    daemon: Daemon = field(init=False)
    restarted: float = 0.0
    """Scrapes of the healthy service before its restart."""

    def scrapes(self) -> float:
        """Return the successful scrapes of the healthy service."""
        series = self.daemon.series("leakwatch_scrapes_total")
        return sum(n for labels, n in series if (labels["service"], labels["result"]) == ("healthy", "success"))

    def blocks(self, blocks: float) -> None:
        """Wait until so many blocks of the healthy service have closed since its restart."""
        wait_for(lambda: self.scrapes() >= self.restarted + 5 * blocks)

    def rates(self, service: str) -> list[float]:
        """Return the growth of each leak of `service`, per block."""
        series = self.daemon.leak_series("growth_goroutines_per_second")
        return [
            n * BLOCK for labels, n in series if labels["service"] == service and labels["verdict"] == "leaking"
        ]

    def waits(self, service: str) -> dict[str, str]:
        """Return function -> wait reason of what leaks in `service`, and of what grows in step with it."""
        return {
            labels["function"]: labels["wait"]
            for name in ("goroutines", "related_goroutines")
            for labels, _ in self.daemon.leak_series(name)
            if labels["service"] == service and labels["verdict"] == "leaking"
        }

    def verdicts(self) -> list[tuple[str, str, str]]:
        """Return service, function and change of each verdict so far."""
        events = [event for event in self.daemon.events() if "before" in event]
        return [(e["service"], e["function"], f"{e['before']} -> {e['verdict']}") for e in events]


@pytest.fixture(scope="module")
def wild(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wild]:
    """Start everything."""
    with Programs(programs) as start:
        wild = Wild(start)
        for case in (*CASES, ALTERNATING):
            flags = ("-delay", BEGIN, "-rate", str(case.rate / BLOCK), *case.flags)
            wild.urls[case.service] = [start(case.program, *flags) for _ in range(case.instances)]
        wild.urls["healthy"] = [start("healthy", "-period", "90s")]
        settings = {case.service: case.settings for case in (*CASES, ALTERNATING)}
        jobs = [
            f"  - {{job_name: {service}, {settings.get(service, '')}"
            f"static_configs: [{{targets: {[url[7:] for url in urls]}}}]}}\n"
            for service, urls in wild.urls.items()
        ]
        path = tmp_path_factory.mktemp("wild") / "leakwatch.yml"
        path.write_text(f"{SETTINGS}{OWNERS}scrape_configs:\n{''.join(jobs)}")
        wild.daemon = Daemon("--config", path)
        try:
            yield wild
        finally:
            wild.daemon.stop()


def test_a_healthy_service_restarts(wild: Wild) -> None:
    """Leakwatch scrapes the new process of a busy service, which begins without load."""
    (url,) = wild.urls["healthy"]
    wild.blocks(6)
    wild.start.restart(url)
    wild.restarted = wild.scrapes()
    wild.blocks(1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.service)
def test_a_leak_from_production_is_found(wild: Wild, case: Case) -> None:
    """The leak is named by function, with its wait reason and its rate, beside traffic in its process."""
    nominal = case.rate * case.instances

    def is_reported() -> bool:
        rates = wild.rates(case.service)
        right = [any(SLOWEST < rate / nominal / stacks < FASTEST for stacks in (1, 2, 3)) for rate in rates]
        waits = wild.waits(case.service)
        if waits.get(LOOPY) == SELECT:
            waits[LOOPY] = WRITES
        return 1 <= len(rates) <= case.most and all(right) and waits == case.leaks

    wait_for(is_reported, show=lambda: (wild.rates(case.service), nominal, wild.waits(case.service)))


def parts(wild: Wild, case: Case, name: str) -> dict[str, float]:
    """Return stack -> the value of a metric of the leaks of a case; of several of a stack the largest."""
    found: dict[str, float] = {}
    for labels, value in wild.daemon.series(f"leakwatch_leak_{name}"):
        if labels["service"] == case.service:
            assert labels["owner"] == case.owner
            found[labels["stack"]] = max(value, found.get(labels["stack"], 0.0))
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.service)
def test_one_dump_shows_all_of_it(wild: Wild, case: Case) -> None:
    """Each leak has metrics with its origin, minimum age, memory and growth in bytes."""
    wait_for(lambda: parts(wild, case, "older_goroutines") and parts(wild, case, "bytes"))
    goroutines, older = parts(wild, case, "goroutines"), parts(wild, case, "older_goroutines")
    assert older
    assert all(0 < least <= goroutines[stack] for stack, least in older.items())
    assert all(held >= 2048 * older[stack] for stack, held in parts(wild, case, "bytes").items() if stack in older)
    assert all(rate > 0 for rate in parts(wild, case, "growth_bytes_per_second").values())
    origins = {labels["stack"]: labels["origin"] for labels, _ in wild.daemon.series("leakwatch_stack_info")}
    assert {origins[stack] for stack in older} <= {*case.origins}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.service)
def test_the_stored_evidence_shows_it_too(wild: Wild, case: Case) -> None:
    """The evidence of each leak contains the function, its wait reason and its goroutines."""
    (leaking, *_) = case.leaks.items()

    def kept() -> list[dict[str, Any]]:
        listed = wild.daemon.get(f"/api/v1/profiles?service={case.service}").json()["profiles"]
        # A full dump has no frames of the runtime, from which the wait reason of a profile is derived.
        return [one for one in listed if "leaking" in one["kinds"] and one["format"] != "dump"]

    wait_for(kept)
    body = wild.daemon.get(f"/api/v1/profiles/{kept()[0]['id']}?format=pprof").content
    samples = Identifier().identify(saved.parse(body)).values()
    told = {sample.stack.blamed.function: sample for sample in samples if sample.stack.wait == leaking[1]}
    assert told[leaking[0]].goroutines > 0


def test_a_leak_that_alternates_between_stacks_is_found(wild: Wild) -> None:
    """Stuck goroutines that are sometimes in one stack and sometimes in another are one leak.

    The leak is reported under their function, or under one of the stacks with its share of the rate.
    """
    wait_for(lambda: wild.rates(ALTERNATING.service))
    assert wild.waits(ALTERNATING.service).keys() == ALTERNATING.leaks.keys()
    assert SLOWEST / 3 < sum(wild.rates(ALTERNATING.service)) / ALTERNATING.rate < FASTEST


def test_no_other_function_leaks(wild: Wild) -> None:
    """Only leaks have the verdict leaking, and keep it; the restarted service has no verdict."""
    wild.blocks(SETTLED)
    is_leaking = {(case.service, name) for case in (*CASES, ALTERNATING) for name in case.leaks}
    accused = {(service, name) for service, name, change in wild.verdicts() if change.endswith("-> leaking")}
    assert accused <= is_leaking
    assert {change for *_, change in wild.verdicts() if change.startswith("leaking")} == set()


def test_a_program_that_cannot_prove_is_asked_once(wild: Wild) -> None:
    """An older Go has no such profile: this is logged once for each target, and its leaks stay."""
    failed = [e for e in wild.daemon.events() if e["event"] == "probe failed" and e["probe"] == "proof"]
    asked = [(e["service"], e["target"]) for e in failed]
    leaking = {url.removeprefix("http://") for case in CASES for url in wild.urls[case.service]}
    assert sorted(asked) == sorted(set(asked))
    assert leaking <= {target for _, target in asked}
    assert {labels["verdict"] for labels, _ in wild.daemon.leak_series()} >= {"leaking"}
