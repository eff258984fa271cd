"""Overview, status and error pages as text: filters, pagination, hostile names, invalid queries."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import quote, urlencode, urljoin

import pytest
from starlette.datastructures import QueryParams
from structlog.testing import capture_logs

from leakwatch.config import Config
from leakwatch.leaks.labels import leak_url
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Target, TargetHealth
from leakwatch.pipeline import Pipeline
from leakwatch.scrape.start_queue import StartQueue
from leakwatch.storage.storage import StorageStatus
from leakwatch.web.api.models.types import valid_text
from leakwatch.web.api.state import AppState
from leakwatch.web.pages import filters
from leakwatch.web.pages.overview import LEAKS, TARGETS, OverviewQuery
from leakwatch.web.pages.sparkline import HEIGHT, PAD, sparkline
from leakwatch.web.server.web_config import CONTENT_POLICY, Headers
from tests.support.api_world import DOWN, END, HOSTILE, NEW, app, app_state, get, request, view
from tests.support.big_fleets import fleet
from tests.support.seen_pages import ParsedPage

ABSURD = [
    "leaks=0&services=-1&targets=abc",
    "leaks=999999&services=999999&targets=999999",
    "leaks=" + "9" * 5000,
    "verdict=nonsense&verdict=leaking&state=up%00",
    "q=" + "x" * 5000,
    "q=%ff%fe&service=%F0%9F%92%A9&owner=%00",
    "q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
    "q=" + "(" * 500 + "&unknown=1&=&&",
    "leaks=%D9%A3",
]


def page_at(path: str, state: AppState | None = None, prefix: str = "", status: int = 200) -> ParsedPage:
    """Return the page at a path, which must have this status."""
    answer = get(path, state, prefix)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "Traceback" not in answer.text
    return ParsedPage(answer.text)


@cache
def large() -> AppState:
    """Return 2,000 targets of 100 services with 500 leaks; 40 targets are down."""
    down = TargetHealth(up=False, reason="timeout", error="no answer within 10s", since=1.0, time=2.0)
    return fleet(100, 20, 5, health=dict.fromkeys(range(0, 2000, 50), down))


def test_the_leaks_of_the_overview() -> None:
    """A leak has verdict, function, position, service, owner, count, rate with band, age, sparkline and link."""
    page = page_at("/")
    text = " ".join(page.text.split())
    for part in ("main.leak", "/src/leak.go:7", "leaking", "shop", "team <shop>"):
        assert part in text
    fleet = view()
    leak = next(leak for leak in fleet.leaks if leak.stack.blamed.function == "main.leak")
    assert filters.number(leak.goroutines) in text
    assert filters.duration(fleet.now - leak.first_seen) in text
    assert filters.rate(leak.growth.rate * 3600) in text
    assert f"{filters.rate(leak.growth.low * 3600)} to {filters.rate(leak.growth.high * 3600)}" in text
    assert sum(tag == "svg" for tag, _ in page.elements) == page.rows("leaks") == len(fleet.leaks)
    assert leak_url("http://leakwatch", leak) in {urljoin("http://leakwatch/", link) for link in page.links()}


def test_a_target_that_is_down() -> None:
    """The overview lists targets that are down with the reason, the error and the time."""
    text = " ".join(page_at("/").text.split())
    assert f"{DOWN.name} young connectionno <way> half a letter: ? 1m" in text


def test_a_service_that_is_down_has_no_numbers() -> None:
    """The page does not claim that the service has no leaks, or counts that are unknown."""
    unreached, dash = Target("unreached", "10.0.0.7:6060"), "\N{EN DASH}"
    down = TargetHealth(up=False, reason="connection", error="refused", since=1.0, time=2.0)
    healths = {**view().health, unreached: down, NEW: down}
    state = app_state(health=lambda: healths)
    rows = [" ".join(row.split()) for row in re.findall(r"(?s)<tr>.*?</tr>", get("/", state).text)]

    def cells(column: str, *texts: str) -> list[str]:
        (row,) = [row for row in rows if f'data-name="{column}"' in row and all(text in row for text in texts)]
        return [re.sub(r"<[^>]*>", "", part).strip() for part in re.findall(r"<td.*?</td>", row)]

    assert cells("Targets up", "<bdi>unreached<")[:3] == ["no answer yet", "0 of 1", dash]
    assert cells("Targets up", "<bdi>young<")[:3] == ["unknown: down", "0 of 2", "7"]
    assert cells("Stacks", unreached.name)[2:4] == [dash, dash]
    for path in ("/services/unreached", "/?service=unreached"):
        text = " ".join(page_at(path, state).text.split())
        assert "leaksunknown: down" in text.replace("leaks unknown", "leaksunknown")
        assert f"goroutines{dash}" in text.replace(f"goroutines {dash}", f"goroutines{dash}")
        assert "This service is down, so it is unknown whether it leaks. Show all 3" in text
    assert "No leak passes the filter." in page_at("/?service=unreached&q=main", state).text
    alone = page_at("/", app_state(health=lambda: {unreached: down})).text
    assert "unknown: down" in alone


@pytest.mark.parametrize(
    "path", ["/", "/status", f"/services/{quote(valid_text(HOSTILE), safe='')}", "/nothing/<b>/here"]
)
def test_no_name_is_markup(path: str) -> None:
    """Scripts and styles are leakwatch's, nothing is inline, and no name becomes an element."""
    answer = get(path)
    page = ParsedPage(answer.text)
    for tag, attributes in page.elements:
        assert tag not in {"b", "style", "iframe", "object"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        if tag == "script":
            assert re.fullmatch(r"(\.\./)*static/[0-9a-f]{12}/[\w./-]+\.js", attributes["src"] or "")
    assert not [href for href in page.links() if ":" in href.partition("/")[0]]


def test_links_of_hostile_names() -> None:
    """A service with slashes, quotes, line ends and markup in its name is shown, selected and linked."""
    name = valid_text(HOSTILE)
    page = page_at("/")
    assert name in page.text
    link = next(link for link in page.links() if link.startswith("services/ns"))
    assert name in page_at(f"/{link}").text
    assert f"{filters.short('main.path0')}" not in page_at(f"/{link}").text
    assert page_at(f"/{OverviewQuery(service=name).link()}").rows("leaks") == page_at(f"/{link}").rows("leaks") > 0


@pytest.mark.parametrize(
    ("query", "functions"),
    [
        ({"q": "LEAK.go"}, {"main.leak"}),
        ({"service": "shop", "q": "main.leak"}, {"main.leak"}),
        ({"owner": "team <shop>", "q": "main.leak"}, {"main.leak"}),
        ({"verdict": "leaking", "q": "main.leak"}, {"main.leak"}),
        ({"verdict": "proven"}, set()),
        ({"service": "young"}, set()),
        ({"q": "no such thing"}, set()),
    ],
)
def test_filters(query: dict[str, str], functions: set[str]) -> None:
    """Leaks pass all filters; the form keeps the filters; an empty list has a link to all leaks."""
    page = page_at(f"/?{urlencode(query)}")
    titles = {
        (attributes["title"] or "")
        for tag, attributes in page.elements
        if tag == "code" and attributes.get("class") == "function"
    }
    assert titles == functions
    message = "No leak of this service is known." if query.keys() == {"service"} else "No leak passes the filter."
    assert (message in page.text) is not bool(functions)
    selected = {
        attributes.get("value")
        for tag, attributes in page.elements
        if (tag == "option" and "selected" in attributes) or (tag == "input" and attributes["name"] == "q")
    }
    assert set(query.values()) - {"leaking", "proven"} <= selected
    assert "./" in page.links()


def test_a_large_fleet_is_paginated() -> None:
    """With 2,000 targets and 500 leaks, no page is over 300 kB; the pages have every leak once."""
    assert len(large().fleet.view().leaks) == 500
    application = app(large())
    bodies = [request(application, f"/?leaks={number}").content for number in range(1, 11)]
    assert max(map(len, bodies)) < 300_000
    assert len(request(application, "/?state=up").content) < 300_000
    pages = [ParsedPage(body.decode()) for body in bodies]
    assert {page.rows("leaks") for page in pages} == {LEAKS}
    links = [link for page in pages for link in page.links() if link.startswith("leaks/")]
    assert len(set(links)) == len(links) == 500
    assert "40 of 2,000 targets" in pages[0].text
    assert "501" not in page_at("/?leaks=999", large()).text
    assert page_at("/?leaks=999", large()).rows("leaks") == LEAKS
    down = page_at("/?state=down&targets=1", large())
    assert down.rows("targets") == min(40, TARGETS)


@pytest.mark.parametrize("query", ABSURD)
@pytest.mark.parametrize("path", ["/", "/services/shop", "/status"])
def test_invalid_queries(path: str, query: str) -> None:
    """Invalid parameters are ignored."""
    assert "leakwatch" in page_at(f"{path}?{query}").text


@pytest.mark.parametrize(
    "path", ["/nothing", "/services/none", "/a/b/c/d/e", "/static/x/none.css", "/services/a%0Ab"]
)
def test_unknown_paths(path: str) -> None:
    """An unknown path gives an error page, and its links and styles work."""
    page = page_at(path, status=404)
    assert "Not Found" in page.text
    root = {urljoin(f"http://x{path}", link) for link in page.links()}
    assert {"http://x/", "http://x/status", "http://x/metrics"} <= root


@pytest.mark.parametrize("prefix", ["", "/lw", "/leak/watch"])
@pytest.mark.parametrize(
    "path",
    [
        *("/services/%3C/script%3E", "/services/%3C%2Fscript%3E", "/services/a/b/c%2Fd", "/services/a%2Fb"),
        *("/targets/a/b/c", "/leaks/a/b/0123456789abcdef", "/leaks/a%2Fb/0123456789abcdef", "/nowhere"),
        *("/a/b%2Fc/d/", "/%2F", "/static/x/y", "/services/a?b=/c/"),
    ],
)
def test_error_pages_have_their_style(path: str, prefix: str) -> None:
    """Links of an error page are relative to the path as the browser sees it, in which %2F separates nothing."""
    page = get(f"{prefix}{path}", prefix=prefix)
    assert page.status_code == 404
    (style,) = re.findall(r'<link rel="stylesheet" href="([^"]*)"', page.text)
    address = urljoin(f"http://leakwatch{prefix}{path}", style)
    assert address.startswith(f"http://leakwatch{prefix}/static/")
    assert get(address.removeprefix("http://leakwatch"), prefix=prefix).status_code == 200


def test_an_internal_error_shows_no_traceback() -> None:
    """The error page refers to the log and has no details."""

    def broken() -> dict[Target, TargetHealth]:
        raise ZeroDivisionError

    with capture_logs() as log:
        page = page_at("/", app_state(health=broken), status=500)
    assert [line["log_level"] for line in log] == ["error"]
    assert "Internal error, see leakwatch's log." in page.text
    assert "ZeroDivisionError" not in page.text


@pytest.mark.parametrize("prefix", ["", "/lw", "/a/b"])
@pytest.mark.parametrize("path", ["/", "/status", "/services/shop"])
def test_under_a_prefix(prefix: str, path: str) -> None:
    """All links, styles and scripts are below the prefix."""
    page = page_at(prefix + path, prefix=prefix)
    addresses = page.links() + [
        address for _, attributes in page.elements if (address := attributes.get("src") or attributes.get("href"))
    ]
    for address in {urljoin(f"http://x{prefix}{path}", link) for link in addresses}:
        below = address.removeprefix("http://x").partition("#")[0]
        assert below.startswith(f"{prefix}/")
        if "/leaks/" not in below:
            assert get(below, prefix=prefix).status_code == 200, below


def test_styles_and_scripts_are_cached() -> None:
    """Browsers cache the current version forever; an older version gets the current files without caching."""
    page = page_at("/")
    style = next(
        attributes["href"] or ""
        for tag, attributes in page.elements
        if tag == "link" and attributes["rel"] == "stylesheet"
    )
    answer = get(f"/{style}")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/css")
    old = get("/static/older/leakwatch.css")
    assert (old.content, old.headers["cache-control"]) == (answer.content, "no-cache")
    assert get("/static/older/../pages.py").status_code == 404
    assert get("/static/older/%2e%2e/pages.py").status_code == 404


def test_the_content_security_policy() -> None:
    """The policy allows leakwatch's own styles and scripts, nothing inline and nothing from other hosts."""
    assert (b"content-security-policy", CONTENT_POLICY.encode()) in Headers().encoded()
    assert "default-src 'none'" in CONTENT_POLICY
    assert not {"unsafe", "http", "*"} & set(re.split(r"[ ;'-]+", CONTENT_POLICY))


def test_a_new_or_empty_installation() -> None:
    """Before the first verdict, the overview has the reason for the wait; it does not claim that nothing leaks."""
    empty = Pipeline(DetectionSettings())
    page = page_at("/", app_state(pipeline=empty, health=dict))
    assert "There are no targets. What discovery found" in " ".join(page.text.split())
    assert "status#discovery" in page.links()
    assert "No target passes the filter." not in page.text
    reason = "waiting for 1 of 1 discoveries"
    assert reason in page_at("/", app_state(pipeline=empty, health=dict, ready=lambda: reason)).text
    new = {Target("a", "b:1"): TargetHealth()}
    page = page_at("/", app_state(pipeline=empty, health=lambda: new))
    assert "No target has been scraped yet." in page.text
    assert "not scraped yet" in page.text
    young = {target: health for target, health in view().health.items() if target.service == "young"}
    text = " ".join(page_at("/", app_state(health=lambda: young)).text.split())
    assert not re.search(r"\d[hm]\d", text.partition("Leaks")[0])
    assert re.search(r"Collecting data: first verdict in \d+m", text)
    assert len(re.findall(r"first verdict in \d+m", text)) == 2


def test_status() -> None:
    """The status has resource usage, ignore rules with their hidden leaks, and the configuration."""
    text = " ".join(page_at("/status", app_state(configuration_yaml=Config().to_yaml)).text.split())
    for part in ("MiB", "of one core", "No Alertmanager is configured", "main.hidden*", "by design", "10,000"):
        assert part in text
    assert "matches no stack" in text
    assert "scrape_interval: 15s" in text
    assert "The latest reload failed" not in text
    failed = app_state(last_reload=lambda: ("leakwatch.yml:3: <b>no</b>", 1.0))
    assert "leakwatch.yml:3: <b>no</b>" in page_at("/status", failed).text
    assert "leakwatch is overloaded" not in text
    starts = StartQueue(lambda: 0.0, idle=lambda: 0.0, cpu=lambda: 0.0)
    starts.overloaded = True
    assert "leakwatch is overloaded" in page_at("/status", app_state(starts=starts)).text
    assert "statein memory only" in text
    storage = StorageStatus(folder=Path("/data"), size=3 << 20, saved_at=END - 20)
    assert "state3 MiB, saved 20s ago" in page_at("/status", app_state(storage=storage)).text
    storage.is_full = True
    assert "storage.size_limit is reached" in page_at("/status", app_state(storage=storage)).text
    storage.error = "/data is in use by process 7"
    assert "/data is in use by process 7" in page_at("/status", app_state(storage=storage)).text
    waiting = app_state(ready=lambda: "waiting for 1 of 2")
    assert "is not ready: waiting for 1 of 2" in page_at("/status", waiting).text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (18000, "+18,000"),
        (13438.2, "+13,400"),
        (60.4, "+60"),
        (0.44, "+0.4"),
        (-0.00001, "0"),
        (-1.5, "\N{MINUS SIGN}1.5"),
        (None, "\N{EN DASH}"),
    ],
)
def test_rates(rate: float | None, text: str) -> None:
    """A rate has three significant digits, separators and a sign, one decimal if it is small; zero has no sign."""
    assert filters.rate(rate) == text


def test_changes_and_ages() -> None:
    """A change of a count is exact; an age has no milliseconds, because the script of the page shows seconds."""
    changes = [filters.change(value) for value in (13438, -13438, 0)]
    assert changes == ["+13,438", "\N{MINUS SIGN}13,438", "0"]
    assert [filters.since(END - seconds, END) for seconds in (0.141, -2, 75.2)] == ["0s", "0s", "1m 15s"]


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("example.com/shop/pipeline.(*Filter).Run.func1", "pipeline.(*Filter).Run.func1"),
        ("main.main", "main.main"),
        ("a/b.Map[example.com/x/y.T,go.shape.int]", "b.Map[example.com/x/y.T,go.shape.int]"),
        ("a/b/", "a/b/"),
        ("x" * 500, "x" * filters.LONGEST + "…"),
    ],
)
def test_functions(function: str, text: str) -> None:
    """A function is shown without the path of its package, and cut if it is too long."""
    assert filters.short(function) == text


def test_other_filters() -> None:
    """Durations, sizes, ratios, positions and times have short formats."""
    assert [filters.duration(seconds) for seconds in (0.004, 0, 59, 7800, 90000, -3, None)] == [
        "4ms",
        "0ms",
        "59s",
        "2h 10m",
        "1d 1h",
        "0ms",
        "\N{EN DASH}",
    ]
    assert [filters.percent(ratio) for ratio in (0.97, 0.004, 0, None)] == ["97 %", "0.4 %", "0 %", "\N{EN DASH}"]
    assert filters.place("/go/src/shop/internal/run.go", 7) == "shop/internal/run.go:7"
    assert filters.place("") == ""
    assert filters.spaced("in 7m29s and 12h5m; build c7d12ab") == "in 7m 29s and 12h 5m; build c7d12ab"
    assert filters.clock(0, 3600) == "00:00 UTC"
    assert filters.clock(0, 90000) == "Jan 01 00:00 UTC"


def test_sparklines() -> None:
    """A sparkline starts at zero, omits gaps, marks the start of the growth, and needs two points."""
    plot = sparkline([0, None, 5, 10], 0, 100, 50)
    assert plot
    assert plot.line.count(",") == 3
    assert plot.y == PAD
    assert plot.line.split()[0].endswith(f",{HEIGHT - PAD}")
    assert plot.mark == plot.width / 2
    assert (plot.first, plot.last) == (0, 10)
    for growth_start in (-1, 100, None):
        other = sparkline([1, 2], 0, 100, growth_start)
        assert other
        assert other.mark is None
    assert sparkline([1], 0, 100) is sparkline([1, 2], None, 100) is sparkline([None, None], 0, 1) is None


def test_links_keep_the_query() -> None:
    """A link to another page keeps the other parameters, and a link is read back as the same query."""
    query = OverviewQuery(q='a&b="c"', service=valid_text(HOSTILE), verdict="leaking", leaks=3)
    again = OverviewQuery.read(QueryParams(query.link(targets=2).removeprefix("?")))
    assert again == OverviewQuery(q='a&b="c"', service=valid_text(HOSTILE), verdict="leaking", leaks=3, targets=2)
    assert OverviewQuery().link() == "?"
    assert not OverviewQuery(leaks=2)
    assert OverviewQuery(state="down")
