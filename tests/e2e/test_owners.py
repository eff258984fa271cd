"""Owners by CODEOWNERS, and links to the source, for real leaks of real builds, plain and with -trimpath."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leakwatch.leaks.ownership.codeowners import parse
from leakwatch.leaks.ownership.go_modules import Repository
from leakwatch.leaks.ownership.owners import Owners
from leakwatch.leaks.ownership.source_links import Links, LinkTemplate
from leakwatch.model import Samples, Stack
from leakwatch.profile import text
from leakwatch.profile.packages import is_dependency, is_std
from leakwatch.profile.stacks import Identifier
from tests.support.running import FAST, Daemon, Programs, get
from tests.support.waiting import wait_for

GO = Path(__file__).parents[1] / "go"
REPOSITORY = GO.parents[1]
MODULE = "example.com/leaks"
CODEOWNERS = """
* @leaks/all
/tests/go/w5pipeline/ @leaks/ingest @bob   # a main package
/tests/go/owned/pool.v3/*.go @leaks/pools
/tests/go/internal/
"""
TEAMS = {"owned": "@leaks/pools", "w5pipeline": "@leaks/ingest, @bob"}
GRPC = "google.golang.org/grpc"


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Start programs that were built with -trimpath."""
    folder = tmp_path_factory.mktemp("trimmed")
    command = ["go", "build", "-trimpath", "-o", f"{folder}/", "./owned", "./w3grpc", "./w5pipeline"]
    subprocess.run(command, check=True, cwd=GO)
    with Programs(folder) as start:
        yield start


def samples(url: str) -> Samples:
    """Return the stacks of a running program."""
    body = get(f"{url}/debug/pprof/goroutine?debug=1").content
    parser, identifier = text.Parser(), Identifier()
    return identifier.merge([*parser.feed(body), *parser.close()], {})


def stacks(url: str, function: str) -> list[Stack]:
    """Return the stacks of the program once it runs a function that is called so."""

    def look() -> list[Stack]:
        found = [sample.stack for sample in samples(url).values()]
        return found if any(at.function.startswith(function) for one in found for at in one.frames) else []

    return wait_for(look)


@pytest.mark.parametrize("build", ["plain", "trimmed"])
def test_paths_are_files_that_are_there(build: str, start: Programs, trimmed: Programs) -> None:
    """Each frame of own code and of a dependency has the path of its file in the repository of its module."""
    run = start if build == "plain" else trimmed
    own = Repository(module=MODULE, directory="tests/go", root=str(REPOSITORY))
    listed = subprocess.run(
        ["go", "list", "-m", "-json", GRPC], check=True, cwd=GO, capture_output=True, text=True
    )
    module = json.loads(listed.stdout)
    grpc = Links({GRPC: LinkTemplate.of("https://x/{commit}/{path}#L{line}")})
    seen = set()
    for program, function in (
        ("owned", f"{MODULE}/owned/pool%2ev3.(*Pool[...]).Get"),
        ("w3grpc", f"{GRPC}/internal/transport."),
        ("w5pipeline", "main.FilterService"),
    ):
        for at, stack in [(at, one.frames) for one in stacks(run(program), function) for at in one.frames]:
            path, cached = own.path(at, stack), Repository(module=GRPC).path(at, stack)
            if not path and not cached:
                assert is_std(at.function) or is_dependency(at)
                continue
            lines = (REPOSITORY / path if path else Path(module["Dir"], cached)).read_text().splitlines()
            assert lines[at.line - 1].strip(), at
            assert not cached or grpc.link(at, stack, []) == f"https://x/{module['Version']}/{cached}#L{at.line}"
            seen.add(path or GRPC)
    assert seen >= {
        "tests/go/owned/pool.v3/pool.go",
        "tests/go/w5pipeline/main.go",
        "tests/go/internal/serve/serve.go",
        GRPC,
    }


def test_the_owner_of_a_real_leak(
    start: Programs, trimmed: Programs, leakwatch: Callable[..., Daemon], tmp_path: Path
) -> None:
    """By CODEOWNERS it is on the metric, in the log with a link to the source, and on the page, until a reload."""
    jobs: list[dict[str, object]] = []
    for program, run in (("owned", start), ("w5pipeline", trimmed)):
        url = run(program)
        group = {"targets": [url.removeprefix("http://")], "labels": {"commit": "4f1c2a9"}}
        jobs.append({"job_name": program, "static_configs": [group]})
    module = {"file": "CODEOWNERS", "module": MODULE, "directory": "tests/go", "root": str(REPOSITORY)}
    whose = {
        "codeowners": [module],
        "links": {"source": "https://git.example/leaks/blob/{commit}/{path}#L{line}"},
        "scrape_configs": jobs,
    }
    owners, config = tmp_path / "CODEOWNERS", tmp_path / "leakwatch.yml"
    owners.write_text(CODEOWNERS)
    config.write_text(FAST + "".join(f"{key}: {json.dumps(value)}\n" for key, value in whose.items()))
    daemon = leakwatch("--config", config)
    files = {"owned": "owned/pool.v3/pool.go", "w5pipeline": "w5pipeline/main.go"}

    def told() -> dict[str, str]:
        series = daemon.leak_series()
        return {labels["service"]: labels["owner"] for labels, _ in series if labels["verdict"] == "leaking"}

    wait_for(lambda: told() == TEAMS, show=lambda: (told(), daemon.events()))
    page = daemon.get("/").text
    for service, owner in TEAMS.items():
        said = [event for event in daemon.events() if event.get("service") == service and "owner" in event]
        assert {event["owner"] for event in said} == {owner}
        begin = f"https://git.example/leaks/blob/4f1c2a9/tests/go/{files[service]}#L"
        assert [event["source"] for event in said if not event["source"].startswith(begin)] == []
        assert f'<a href="{begin}' in page
    assert "@leaks/ingest, @bob" in page

    owners.write_text("*.go nobody\n")
    assert daemon.post("/-/reload").status_code >= 400
    assert told() == TEAMS
    failed = [event["error"] for event in daemon.events() if "reload failed" in event["event"]]
    assert failed[-1].endswith(
        f"{owners}:1: 'nobody' is not an owner; write @user, @org/team or an e-mail address"
    )
    owners.write_text("* @leaks/all\n/tests/go/owned/\n")
    assert daemon.post("/-/reload").status_code == 200
    assert set(told().values()) == {"@leaks/all", ""}


def test_who_owns_a_main_package_of_an_unknown_root(start: Programs) -> None:
    """A plain build in a directory that is not configured: a rule with the end of the path is enough."""
    owners = Owners({}, [Repository(module=MODULE, owners=parse(CODEOWNERS, "CODEOWNERS"))])
    found = stacks(start("w5pipeline"), "main.FilterService")
    assert {owners.owner(one) for one in found if one.blamed.function == "main.FilterService"} == {
        TEAMS["w5pipeline"]
    }
