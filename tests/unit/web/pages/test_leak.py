"""The pages of a leak and of a target as text, with hostile names."""

import asyncio
import re
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from starlette.types import ASGIApp

from leakwatch.causes.catalogue import shipped
from leakwatch.leaks.findings import FullDump
from leakwatch.leaks.model import Findings
from leakwatch.leaks.ownership.source_links import Links, LinkTemplate
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Frame, Target, TargetHealth, Verdict, Waiting
from leakwatch.pipeline import Pipeline
from leakwatch.storage.pauses import Pauses
from leakwatch.web.api.findings import findings
from leakwatch.web.api.flame_graph import call_tree
from leakwatch.web.api.leaks import find, leak_id
from leakwatch.web.api.models.types import valid_text
from leakwatch.web.api.series import leak_series
from leakwatch.web.api.targets import stack_rows, target_list
from leakwatch.web.pages import assets
from leakwatch.web.pages.app import build_pages
from leakwatch.web.pages.leak import leak_page, numbers
from tests.support.api_world import (
    DOWN,
    END,
    HOSTILE,
    LONG,
    NEW,
    ODD,
    ONE,
    StoppedClock,
    app_state,
    small_world,
    view,
)
from tests.support.seen_pages import ParsedPage
from tests.support.simulated import START, play, samples

VENDOR = assets.FOLDER / "vendor"


@cache
def pages() -> ASGIApp:
    """Return the pages of the small fleet."""
    return build_pages(app_state())


def get(path: str, app: ASGIApp | None = None) -> httpx.Response:
    """Return the response of the pages."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app or pages())
        async with httpx.AsyncClient(transport=transport, base_url="http://leakwatch") as client:
            return await client.get(path)

    return asyncio.run(send())


def leaks_of(service: str) -> list[str]:
    """Return the paths of a service's leaks."""
    return [f"/leaks/{leak_id(leak)}" for leak in view().leaks if leak.service == service]


def path_of(target: Target) -> str:
    """Return the path of a target's page."""
    return f"/targets/{quote(valid_text(target.service), safe='')}/{quote(valid_text(target.name), safe='')}"


ALL = [*leaks_of(HOSTILE), *leaks_of("shop"), *(path_of(target) for target in (ONE, ODD, NEW, DOWN))]


@pytest.mark.parametrize("path", ALL)
def test_no_name_is_markup(path: str) -> None:
    """Scripts and styles are leakwatch's, nothing is inline, and no name becomes an element."""
    answer = get(path)
    assert answer.status_code == 200
    page = ParsedPage(answer.text)
    for tag, attributes in page.elements:
        assert tag not in {"b", "style", "iframe", "object"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        if tag == "script":
            assert re.fullmatch(r"(\.\./)*static/[0-9a-f]{12}/[\w./-]+\.js", attributes["src"] or "")
    references = {reference for cause in shipped() for reference in cause.references}
    assert {href for href in page.attributes("href") if ":" in href.partition("/")[0]} <= references
    assert len(answer.content) < 300_000


def test_hostile_names_are_text() -> None:
    """Each name is shown as text: with markup, quotes, right-to-left characters, and in full in a tooltip."""
    pages_of_leaks = [ParsedPage(get(path).text) for path in leaks_of(HOSTILE)]
    assert pages_of_leaks
    texts = "".join(page.text for page in pages_of_leaks)
    assert "main.half a letter: ?<b>" in texts
    assert f"{LONG[:2000]}…" in set(ParsedPage(get(path_of(ODD)).text).attributes("title"))
    for page in pages_of_leaks:
        assert HOSTILE in page.text
        assert ODD.name in set(page.attributes("data-target"))


def test_only_causes_of_the_catalogue_have_docs() -> None:
    """The docs of leakwatch have a section for each cause of the catalogue, but none for an own cause."""
    state = app_state()
    leak = next(iter(view().leaks))
    shown = [
        leak_page(view(), state.alerts, state.evidence, replace(leak, cause=cause))["cause_help"]
        for cause in (shipped()[0], replace(shipped()[0], docs=""), None)
    ]
    assert shown == [f"docs/causes#{shipped()[0].id}", "", ""]


def test_the_headline_of_a_leak() -> None:
    """The headline has service, verdict, owner, function, place, and one sentence; the reason is below."""
    (path,) = [path for path in leaks_of("shop") if "main.leak" in ParsedPage(get(path).text).text]
    text = " ".join(ParsedPage(get(path).text).text.split())
    for part in ("leaking page in shop", "owner team <shop>", "main.leak", "/src/leak.go:7"):
        assert part in text
    assert re.search(r"shop leaks about \d+ goroutines per hour in main.leak since .* ago, with build b1", text)
    assert "894 goroutines are there now." in text
    assert "Do this" in text
    assert "confidence" not in text.partition("Alert as sent")[0]
    (leak,) = [leak for leak in view().leaks if leak.stack.blamed.function == "main.leak"]
    assert leak.reason in text
    assert "started with go" in text
    assert "at_most:" in text
    assert "On 2 targets" in text


def test_the_source_of_the_blamed_line(tmp_path: Path) -> None:
    """The stack shows the lines around the blamed frame if a checkout is configured, with text as it is."""
    leak = next(leak for leak in view().leaks if leak.service == ONE.service)
    path, name = f"/leaks/{leak_id(leak)}", leak.stack.blamed.file.rpartition("/")[2]
    (tmp_path / name).write_text("".join(f"<line {i}>\n" for i in range(1, 20)))
    app = build_pages(app_state(checkouts={"main": tmp_path}))
    text = get(path, app).text
    assert '<code class="marked"><span class="line">7</span><bdi>&lt;line 7&gt;</bdi></code>' in text
    assert 'class="source"' not in get(path).text


def test_a_silence_needs_alertmanager() -> None:
    """The page links to a new silence if the URL of Alertmanager is configured."""
    (path,) = [path for path in leaks_of("shop") if "main.leak" in get(path).text]
    url = "https://am.example.com/#/silences/new?filter="
    assert url not in get(path).text
    app = build_pages(app_state(alertmanager="https://am.example.com"))
    links = ParsedPage(get(path, app).text).attributes("href")
    assert [link for link in links if link and link.startswith(url)]


def test_times_without_leakwatch() -> None:
    """The page of a leak lists the times since its growth began in which leakwatch did not run."""
    (path,) = [path for path in leaks_of("shop") if "main.leak" in ParsedPage(get(path).text).text]
    assert "leakwatch did not run" not in get(path).text
    pauses = Pauses()
    for number in range(1, 6):
        pauses.add(END - 1200 * number - 90, END - 1200 * number)
    pauses.add(END - 9e5, END - 8e5)  # before the growth
    text = " ".join(ParsedPage(get(path, build_pages(app_state(pauses=pauses))).text).text.split())
    assert "Not observed, because leakwatch did not run: 1m 30s until " in text
    assert "and 2 earlier times." in text
    assert "leakwatch did not run for 1m30s" in text


def test_the_table_of_numbers() -> None:
    """The table has the points of the plot, each time once, newest first."""
    (path,) = [path for path in leaks_of("shop") if "main.leak" in get(path).text]
    fleet = view()
    service, stack = path.removeprefix("/leaks/").split("/")
    rows = numbers(leak_series(fleet, find(fleet, service, stack)))
    times = [time for time, _, _ in rows]  # texts that sort like their times
    assert times == sorted(set(times), reverse=True)
    assert rows[0][1:] == (894.0, 894.0)


def test_unknown_names_give_an_error_page() -> None:
    """An unknown leak or target gives an error page with the reason."""
    for path in ("/leaks/shop/0123456789abcdef", "/leaks/nowhere/0123456789abcdef", "/targets/shop/nowhere"):
        answer = get(path)
        assert answer.status_code == 404
        assert "There is no" in answer.text
        assert "Traceback" not in answer.text
    assert get("/leaks/shop/no-fingerprint").status_code == 404


@pytest.mark.parametrize(
    "query", ["?sort=upwards&stacks=-1", "?stacks=999999&q=%00", f"?q={'x' * 5000}", "?q=%ff%fe"]
)
def test_invalid_queries_are_ignored(query: str) -> None:
    """The page of a target ignores invalid queries."""
    assert get(path_of(ONE) + query).status_code == 200


def test_stacks_are_sorted_and_filtered() -> None:
    """Stacks are sorted by growth, count or name; a filter selects stacks with a text, in any case."""

    def functions(query: str) -> list[str]:
        text = get(path_of(ONE) + query).text
        return re.findall(r"<details class=\"frames\"><summary><code class=\"function\" title=\"([^\"]*)\"", text)

    assert functions("")[0] == functions("?sort=count")[0] == "main.leak"
    names = functions("?sort=name")
    assert names == sorted(names)
    assert len(names) > 3
    assert set(functions("?q=LEAK")) == {"main.leak"}
    assert functions("?q=nowhere") == []


def test_a_stack_can_be_opened() -> None:
    """Each stack of a target has its frames and a sparkline in a closed part."""
    page = ParsedPage(get(path_of(ONE)).text)
    parts = [
        attributes for tag, attributes in page.elements if tag == "details" and attributes.get("class") == "frames"
    ]
    assert len(parts) == page.rows("stacks") > 3
    text = " ".join(ParsedPage(get(f"{path_of(ONE)}?q=path0").text).text.split())
    assert "main.wait /src/wait.go:9main.path0 /src/path.go" in text


def test_stacks_without_growth_are_steady() -> None:
    """A stack with a count that changes by at most the noise has no rate."""
    text = " ".join(ParsedPage(get(f"{path_of(ONE)}?q=main.worker").text).text.split())
    assert "steady" in text
    assert "/h" not in text.partition("Sorted by")[2].partition("Scraping")[0]


def test_growth_without_a_judgement() -> None:
    """A stack that has grown by more than noise has its rate, and comes first; steady stacks come by count."""

    def load(time: float) -> dict[str, int]:
        swing = int(time / 60) % 3
        return {"many": 400 + 10 * swing, "few": 4 + swing, "fills": 50 + 90 * (time > 1800)}

    pipeline, _ = play(load, 0.9)
    (state,) = pipeline.targets.values()
    rows = stack_rows(state, "growth")
    assert [(row.function, row.steady) for row in rows] == [
        ("main.fills", False),
        ("main.many", True),
        ("main.few", True),
    ]
    assert all(row.growth_per_hour.low is None for row in rows)


def test_a_history_from_prometheus() -> None:
    """Until a scrape finds the stack, the page does not present the blamed function as the one started with go."""
    (path,) = [path for path in leaks_of("shop") if "main.leak" in get(path).text]
    assert "started with go" in get(path).text
    whole = samples({"refilled": 1}, "main.main")
    blamed = {
        key: replace(one, stack=replace(one.stack, frames=one.stack.frames[:1])) for key, one in whole.items()
    }
    pipeline = Pipeline(DetectionSettings())
    for minute in range(90):
        found = {key: replace(one, goroutines=5 * minute) for key, one in blamed.items()}
        pipeline.observe(pipeline.add_target(ONE), START + 60.0 * minute, 500, found)
    path = f"/leaks/shop/{next(iter(blamed))}"
    text = " ".join(ParsedPage(get(path, build_pages(app_state(pipeline=pipeline))).text).text.split())
    assert "started with go" not in text
    assert "The history is from Prometheus, which has only the blamed function." in text


def test_a_target_that_is_down_or_new() -> None:
    """A target that is down has the reason; a new target has the time until its first verdict."""
    assert "connection" in ParsedPage(get(path_of(DOWN)).text).text
    assert "no <way>" in ParsedPage(get(path_of(DOWN)).text).text
    assert "Collecting data: first verdict in" in ParsedPage(get(path_of(NEW)).text).text


def test_the_cost_of_an_unreachable_target() -> None:
    """The cost of an unreachable target is unknown; the cost of a target that fails slowly is known."""

    def cost(reason: str) -> tuple[float | None, str]:
        health = TargetHealth(up=False, reason=reason, error="no", since=1.0, time=2.0, interval=15.0, cost=0.02)
        state = app_state(health=lambda: {DOWN: health})
        text = " ".join(ParsedPage(get(path_of(DOWN), build_pages(state)).text).text.split())
        (shown,) = re.findall(r"Cost ?(.*?) ?Results", text)
        return target_list(state.fleet.view()).targets[0].cost_ratio, shown

    for reason in ("connection", "tls"):
        assert cost(reason) == (None, "\N{EN DASH}")
    assert cost("timeout") == (0.02, "2 % of one core at most, averaged over minutes")


def test_what_to_do_about_a_target_that_is_down() -> None:
    """The page of a target that is down has the remedy; without a profile it has no tools for one."""
    page = ParsedPage(get(path_of(DOWN)).text)
    assert "To fix it: check address and port;" in page.text
    assert "../../docs/troubleshooting#a-target-is-down" in page.links()
    tools = next(attributes for tag, attributes in page.elements if attributes.get("id") == "flame-tools")
    assert "hidden" in tools
    assert "Sorted by" not in page.text
    assert "Sorted by" in get(path_of(ONE)).text
    assert 'id="flame-tools">' in get(path_of(ONE)).text


def test_a_target_without_a_scrape_has_no_numbers() -> None:
    """The counts are unknown, not 0, and each part of the page reports the missing profile."""
    page = get(path_of(DOWN)).text
    text = " ".join(ParsedPage(page).text.split())
    assert "goroutines\N{EN DASH}" in text.replace("goroutines \N{EN DASH}", "goroutines\N{EN DASH}")
    assert "stacks\N{EN DASH}" in text.replace("stacks \N{EN DASH}", "stacks\N{EN DASH}")
    for path in (path_of(DOWN), f"{path_of(DOWN)}?q=main"):
        assert get(path).text.count("No profile yet.") == 2
    assert call_tree(view(), f"{DOWN.service}/{DOWN.name}").scraped_at is None
    assert call_tree(view(), f"{ONE.service}/{ONE.name}").scraped_at == small_world().targets[ONE].history.time
    assert "No profile yet." not in get(path_of(ONE)).text
    assert 'id="stacks-title">Stacks <small></small>' in page


def test_frames_link_to_their_source() -> None:
    """Each frame links to its source if links are configured; the link is an attribute, whatever it contains."""
    template = LinkTemplate.of('https://git.example/x?a="b"&file={file}#L{line}')
    pipeline, _ = play(
        lambda at: {"leak": int(at / 60), "idle": 7}, 3, Pipeline(DetectionSettings(links=Links({"": template})))
    )
    (leak,) = pipeline.open_leaks()
    page = ParsedPage(get(f"/leaks/{leak_id(leak)}", build_pages(app_state(pipeline=pipeline))).text)
    links = [link for link in page.attributes("href") if link.startswith("https:")]
    assert len(links) == 2 + len(leak.stack.frames)  # the place below the name, and a button
    assert {link.rpartition("#")[2] for link in links} == {f"L{frame.line}" for frame in leak.stack.frames}
    assert all(link.startswith('https://git.example/x?a="b"&file=') for link in links)


def test_findings_are_sorted() -> None:
    """The oldest bound comes first, a younger bound only with more goroutines; creators keep their order."""
    waiting = Waiting(
        {None: 2, 5: 1, 90: 4},
        {"select": 7},
        {Frame("main.a", "a.go", 1): 2, Frame("main.b"): 3, Frame("main.a"): 2},
    )
    results = findings(
        Findings(
            proven=3,
            waiting=waiting,
            older={60.0: 5, 3600.0: 4, 7200.0: 4, 600.0: 0},
            unavailable={"dump": "too large"},
        )
    )
    assert [(bound.seconds, bound.goroutines) for bound in results.older] == [(7200, 4), (60, 5)]
    assert results.proven == 3
    assert results.ages is not None
    assert (results.ages.goroutines, results.ages.oldest_minutes, results.ages.median_minutes) == (7, 90, 90)
    assert [(creator.function, creator.goroutines) for creator in results.ages.creators] == [
        ("main.a", 2),
        ("main.b", 3),
        ("main.a", 2),
    ]
    assert results.missing == {"dump": "too large"}
    assert findings(Findings()).ages is None


def test_the_time_of_a_full_dump() -> None:
    """The page shows how old the full dump is: since then, the goroutines have waited for longer."""
    pipeline, _ = play(lambda at: {"leak": int(at / 60), "idle": 7}, 3)
    (state,) = pipeline.targets.values()
    (leak,) = pipeline.open_leaks()
    waiting = Waiting({1: 332}, {"select": 332}, {Frame("main.start", "/src/start.go", 9): 332})
    now = START + 3 * 3600
    state.probe_results.full_dump = FullDump(now - 222, {leak.stack.fingerprint: waiting})
    pipeline.observe(state, now, 187, samples({"leak": 180, "idle": 7}))
    app = build_pages(app_state(pipeline=pipeline, clock=StoppedClock(now)))
    text = " ".join(ParsedPage(get(f"/leaks/{leak_id(leak)}", app).text).text.split())
    assert "oldest 1m (332 goroutines, full dump 3m 42s ago)" in text


def test_the_stacks_of_a_site() -> None:
    """Each stack of a site has its caller and its growth, and is listed once; they have the same function."""
    (path,) = [path for path in leaks_of("shop") if "all stacks of this function" in get(path).text]
    page = ParsedPage(get(path).text)
    functions = [value for value in page.attributes("title") if value.startswith("main.path")]
    assert sorted(set(functions)) == [f"main.path{i}" for i in range(4)]
    assert "Called by" in page.text
    assert "Other stacks of this leak" not in page.text


def test_a_leak_that_has_recovered() -> None:
    """The page does not offer a silence for an alert that has ended, or a restart."""
    pipeline, _ = play(lambda at: {"leak": int(at / 60) if at < 4 * 3600 else 1, "idle": 7}, 10)
    (leak,) = view(pipeline=pipeline, clock=StoppedClock(START + 36e3)).leaks
    assert leak.verdict is Verdict.RECOVERED
    state = app_state(pipeline=pipeline, clock=StoppedClock(START + 36e3), alertmanager="https://am.example.com")
    page = ParsedPage(get(f"/leaks/{leak_id(leak)}", build_pages(state)).text)
    assert "no longer leaks" in page.text
    assert "A restart of the targets" not in page.text
    assert not [link for link in page.links() if "silences" in link]


def test_a_link_to_an_editor() -> None:
    """The button names what it opens: the source in the browser, or the file in an editor."""
    for url, label in {"https://x/{file}": "Open source", "vscode://file/{file}:{line}": "Open in editor"}.items():
        links = Links({"": LinkTemplate.of(url)})
        pipeline, _ = play(lambda at: {"leak": int(at / 60)}, 3, Pipeline(DetectionSettings(links=links)))
        (leak,) = pipeline.open_leaks()
        text = get(f"/leaks/{leak_id(leak)}", build_pages(app_state(pipeline=pipeline))).text
        begin = url.partition("{")[0]
        assert re.search(rf'<a class="button" href="{begin}src/leak.go[:7]*" rel="noreferrer">{label}</a>', text)


def test_vendored_files_are_unchanged() -> None:
    """Each vendored file has its recorded checksum and a licence file."""
    sums = dict(line.split()[::-1] for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    files = {path.name for path in VENDOR.iterdir()} - {"SHA256SUMS", "README.md", "packages.txt"}
    assert sums.keys() == files
    for name, digest in sums.items():
        assert sha256((VENDOR / name).read_bytes()).hexdigest() == digest
    for script in VENDOR.glob("*.js"):
        assert (VENDOR / f"{script.name.partition('.')[0]}.LICENSE").is_file()
        assert get(f"/static/any/vendor/{script.name}").content == script.read_bytes()
