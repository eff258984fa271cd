"""One leakwatch beside all kinds of bad targets: each ends in its reason, and no healthy target notices."""

import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.faults.outcomes import LATE, OUTCOMES, UP, probe_of
from tests.support.fault_server import FaultServer, build, kinds, write
from tests.support.running import Daemon
from tests.support.sharing import built_once
from tests.support.waiting import wait_for

HEALTHY = [f"healthy-{number}" for number in range(1, 6)]
"""Services of kind `healthy`. Their scrapes must all succeed."""
CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, scrape_cost_limit: 1}}
detection: {{block: 5500ms}}
scrape_configs:
  - {{job_name: good, file_sd_configs: [{{files: [{folder}/good.json]}}]}}
  - {{job_name: leak, file_sd_configs: [{{files: [{folder}/leak.json]}}]}}
  - {{job_name: probed, full_dump_goroutines: 1000000, file_sd_configs: [{{files: [{folder}/probed.json]}}]}}
  - job_name: text
    tls_config: {{ca_file: {folder}/ca.pem}}
    file_sd_configs: [{{files: [{folder}/text.json], refresh_interval: 1s}}]
  - job_name: proto
    profile_format: proto
    file_sd_configs: [{{files: [{folder}/proto.json], refresh_interval: 1s}}]
"""
GOOD_TIMES = "10s", "10s"
LEAK_TIMES = "1s", "1s"
"""Interval and timeout. The leak is found after 11 blocks, in 60 s, or later if scrapes are late."""
BAD_INTERVAL = "1h"
"""A bad target is scraped again when a test asks for it. All bad targets together take leakwatch 20 to 35 s of a
core. Repeated each minute beside two busy processes, they made blocks four times as long: the leak took 287 s."""
BAD_TIMEOUT = 10
"""Seconds of the first scrape of a bad target. The largest bodies take leakwatch a second of a core each."""
PAUSE = 1.0
"""Seconds between two reads of the state."""
STUCK = 1200.0
"""Seconds after which a wait is a hang. The slowest setup took 101 s, with a load of 7 per core."""
MEMORY = 300 << 20
"""Resident bytes. Beside two processes that use both cores they are 170 to 190 MB. They were 1,070 MB while
rejected bodies waited for the collector of reference cycles."""

Results = Mapping[str, Counter[str]]
"""Service -> number of scrapes by result."""


class Faults:
    """leakwatch and the fault server, with all its kinds as targets."""

    def __init__(self, server: FaultServer, folder: Path) -> None:
        self.server = server
        jobs = defaultdict[str, list[str]](list)
        for kind, target in server.targets.items():
            if kind not in {"healthy", "healthy-leak"}:
                jobs["probed" if probe_of(kind) else target.form].append(kind)
        self._folder, self._forms = folder, {form: jobs[form] for form in ("text", "proto")}
        self.bad = [kind for kinds in self._forms.values() for kind in kinds]
        self.probed = jobs["probed"]
        self._timeouts = dict.fromkeys(self.bad, BAD_TIMEOUT)
        self._write_bad()
        server.write_groups(folder / "probed.json", {kind: kind for kind in self.probed}, *LEAK_TIMES)
        server.write_groups(folder / "good.json", dict.fromkeys(HEALTHY, "healthy"), *GOOD_TIMES)
        server.write_groups(folder / "leak.json", {"healthy-leak": "healthy-leak"}, *LEAK_TIMES)
        (folder / "leakwatch.yml").write_text(CONFIG.format(folder=folder))
        self.daemon = Daemon("--config", folder / "leakwatch.yml")

    def results(self) -> Results:
        """Return the results of the scrapes so far."""
        results = defaultdict[str, Counter[str]](Counter)
        for labels, count in self.daemon.series("leakwatch_scrapes_total"):
            if count:
                results[labels["service"]][labels["result"]] = int(count)
        return results

    def scrape_again(self, kinds: Iterable[str]) -> None:
        """Let leakwatch scrape bad targets again at once, because they change: their timeout is doubled."""
        for kind in kinds:
            self._timeouts[kind] *= 2
        self._write_bad()

    def _write_bad(self) -> None:
        for form, members in self._forms.items():
            groups = [
                self.server.targets[kind].group(kind, BAD_INTERVAL, f"{self._timeouts[kind]}s") for kind in members
            ]
            write(self._folder / f"{form}.json", groups)

    def settle(self) -> list[str]:
        """Return the bad targets without a result but a late one so far; scrape those again that were late."""
        results = self.results()
        unsettled = [kind for kind in self.bad if not results[kind].keys() - ({LATE} - OUTCOMES[kind])]
        late = [kind for kind in unsettled if BAD_TIMEOUT << results[kind][LATE] > self._timeouts[kind]]
        if late:
            self.scrape_again(late)
        return unsettled

    def unprobed(self) -> list[str]:
        """Return the targets that have not received the probe that they answer badly."""
        requests = self.server.requests()
        return [kind for kind in self.probed if not requests.get(kind, {}).get(probe_of(kind))]

    def idle(self, before: Results) -> list[str]:
        """Return the healthy targets that have not been scraped since `before`."""
        results = self.results()
        return [service for service in HEALTHY if results[service][UP] <= before[service][UP]]

    def leaking(self) -> set[str]:
        """Return the services with a confirmed leak."""
        leaks = self.daemon.leak_series()
        return {labels["service"] for labels, _ in leaks if labels["verdict"] == "leaking"}

    def resident(self) -> int:
        """Return the resident bytes of leakwatch."""
        status = Path(f"/proc/{self.daemon.popen.pid}/status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])


def settled(faults: Faults) -> None:
    """Wait until each target has shown its behaviour."""
    wait_for(lambda: not faults.settle(), STUCK, pause=PAUSE, show=faults.settle)
    wait_for(lambda: not faults.unprobed(), STUCK, pause=PAUSE, show=faults.unprobed)
    wait_for(lambda: "healthy-leak" in faults.leaking(), STUCK, pause=PAUSE, show=faults.results)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the fault server; return its folder."""
    return built_once(tmp_path_factory, "faults", build)


@pytest.fixture(scope="module")
def faults(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """Run leakwatch beside all kinds until each has shown its behaviour."""
    folder = tmp_path_factory.mktemp("faults")
    server = FaultServer(program, folder / "ca.pem")
    try:
        faults = Faults(server, folder)
        try:
            settled(faults)
            yield faults
        finally:
            faults.daemon.stop()
    finally:
        server.stop()


def only(results: Results, services: Iterable[str]) -> dict[str, dict[str, int]]:
    """Return the results of `services`."""
    return {service: dict(results[service]) for service in services}


def test_each_kind_has_an_outcome(program: Path) -> None:
    """The table has exactly the kinds of the server, of which at least 50 are bad."""
    assert kinds(program).keys() == OUTCOMES.keys()
    assert len([kind for kind, results in OUTCOMES.items() if UP not in results]) >= 50


def test_each_bad_target_ends_in_its_reason(faults: Faults) -> None:
    """The results of a target are those of the table. A timeout may come first, on a busy machine."""
    results = faults.results()
    wrong = {kind for kind in faults.bad if results[kind].keys() - OUTCOMES[kind] - {LATE}}
    assert only(results, wrong) == {}


def test_no_healthy_scrape_is_lost(faults: Faults) -> None:
    """All scrapes of the healthy targets succeed, and each target is scraped again."""
    before = faults.results()
    wait_for(lambda: not faults.idle(before), STUCK, pause=PAUSE, show=lambda: faults.idle(before))
    results = faults.results()
    assert only(results, [service for service in HEALTHY if results[service].keys() != {UP}]) == {}


def test_each_request_to_a_healthy_target_counts(faults: Faults) -> None:
    """The requests that the healthy targets received are the scrapes that leakwatch counts, or are under way."""
    before = faults.results()
    requests = faults.server.requests()["healthy"]["goroutine?debug=1"]
    after = faults.results()
    least, most = (sum(results[service][UP] for service in HEALTHY) for results in (before, after))
    assert least <= requests <= most + len(HEALTHY)


def test_bad_answers_to_probes_do_not_stop_scrapes(faults: Faults) -> None:
    """A target that answers a probe badly stays up."""
    results = faults.results()
    wrong = {kind for kind in faults.probed if results[kind].keys() - {UP, LATE} or not results[kind][UP]}
    assert only(results, wrong) == {}


def test_the_leak_is_found(faults: Faults) -> None:
    """The leak of the healthy service is confirmed, and no healthy service without a leak is reported."""
    assert "healthy-leak" in faults.leaking()
    assert faults.leaking().isdisjoint(HEALTHY)


def test_no_request_leaves_the_target(faults: Faults) -> None:
    """No redirect leads to another address, and no cookie returns."""
    assert "sink" not in faults.server.requests()


def test_leakwatch_stays_healthy(faults: Faults) -> None:
    """Health, readiness, pages and API respond."""
    for path in ("/-/healthy", "/-/ready", "/", "/status", "/api/v1/status", "/api/v1/targets", "/api/v1/leaks"):
        assert faults.daemon.get(path).status_code == 200, path


def test_metrics_are_valid(faults: Faults) -> None:
    """Prometheus accepts the metrics, whatever the names of functions are."""
    text = faults.daemon.get("/metrics").text
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_log_has_no_internal_error(faults: Faults) -> None:
    """All lines are JSON, and do not contain a traceback."""
    lines = list(faults.daemon.said)
    assert [line for line in lines if not line.startswith("{")] == []
    assert [line for line in lines if "Traceback" in line or "internal error" in line] == []


def test_memory_is_bounded(faults: Faults) -> None:
    """The process does not keep what bad targets sent."""
    assert faults.resident() <= MEMORY


def test_leakwatch_stops(faults: Faults) -> None:
    """SIGTERM ends leakwatch while all targets misbehave."""
    before = faults.server.requests()
    faults.scrape_again(faults.bad)

    def under_way() -> bool:
        requests = faults.server.requests()
        return sum(requests.get(kind) != before.get(kind) for kind in faults.bad) >= 20

    wait_for(under_way)
    assert faults.daemon.stop() == 0
