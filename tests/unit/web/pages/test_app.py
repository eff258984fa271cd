"""Overview, status and errors, as text: what they say, filters, portions, hostile names, absurd questions."""

import re
from functools import cache
from urllib.parse import quote, urlencode, urljoin

import pytest
from starlette.datastructures import QueryParams

from leakwatch.leaks.labels import leak_url
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Target, TargetHealth
from leakwatch.pipeline import Pipeline
from leakwatch.web.api.models.types import whole
from leakwatch.web.api.state import AppState
from leakwatch.web.pages import filters as wording
from leakwatch.web.pages.overview import LEAKS, TARGETS, OverviewQuery
from leakwatch.web.pages.sparkline import HEIGHT, PAD, sparkline
from leakwatch.web.server.web_config import CONTENT_POLICY, Headers
from tests.support.api_world import DOWN, HOSTILE, NEW, get, source
from tests.support.big_fleets import fleet
from tests.support.seen_pages import Seen

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


def seen(path: str, known: AppState | None = None, prefix: str = "", status: int = 200) -> Seen:
    """Return what the application answers with this status."""
    answer = get(path, known, prefix)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "Traceback" not in answer.text
    return Seen(answer.text)


@cache
def large() -> AppState:
    """Return 2,000 targets of 100 services with 500 leaks, 40 targets down."""
    down = TargetHealth(up=False, reason="timeout", error="no answer within 10s", since=1.0, time=2.0)
    return fleet(100, 20, 5, health=dict.fromkeys(range(0, 2000, 50), down))


def test_the_overview_says_what_leaks_where_and_since_when() -> None:
    """Each leak has verdict, function, place, service, owner, count, rate with its band, since, a line, a link."""
    page = seen("/")
    text = " ".join(page.text.split())
    for said in ("main.leak", "/src/leak.go:7", "leaking", "shop", "team <shop>"):
        assert said in text
    leak = next(leak for leak in source().leaks() if leak.stack.blamed.function == "main.leak")
    assert wording.number(leak.goroutines) in text
    assert wording.duration(source().now() - leak.first_seen) in text
    assert wording.rate(leak.growth.rate * 3600) in text
    assert f"{wording.rate(leak.growth.low * 3600)} to {wording.rate(leak.growth.high * 3600)}" in text
    assert sum(tag == "svg" for tag, _ in page.elements) == page.rows("leaks") == len(source().leaks())
    assert leak_url("http://leakwatch", leak) in {urljoin("http://leakwatch/", link) for link in page.links()}


def test_what_is_down_says_why() -> None:
    """A target that is down stands on the first page, with the reason, the error and since when."""
    text = " ".join(seen("/").text.split())
    assert f"{DOWN.name} young connectionno <way> half a letter: ? 1m" in text


def test_a_service_that_is_down_has_no_numbers() -> None:
    """That it leaks nothing is not said of it, nor that somebody filtered, nor counts that nobody knows."""
    gone, dash = Target("gone", "10.0.0.7:6060"), "\N{EN DASH}"
    down = TargetHealth(up=False, reason="connection", error="refused", since=1.0, time=2.0)
    states = {**source().health(), gone: down, NEW: down}
    known = source(health=lambda: states)
    rows = [" ".join(row.split()) for row in re.findall(r"(?s)<tr>.*?</tr>", get("/", known).text)]

    def said(cell: str, *holds: str) -> list[str]:
        (row,) = [row for row in rows if f'data-name="{cell}"' in row and all(text in row for text in holds)]
        return [re.sub(r"<[^>]*>", "", part).strip() for part in re.findall(r"<td.*?</td>", row)]

    assert said("Targets up", "<bdi>gone<")[:3] == ["no answer yet", "0 of 1", dash]
    assert said("Targets up", "<bdi>young<")[:3] == ["not known: down", "0 of 2", "7"]
    assert said("Stacks", gone.name)[2:4] == [dash, dash]
    for path in ("/services/gone", "/?service=gone"):
        text = " ".join(seen(path, known).text.split())
        assert "leaksnot known: down" in text.replace("leaks not", "leaksnot")
        assert f"goroutines{dash}" in text.replace(f"goroutines {dash}", f"goroutines{dash}")
        assert "Whether this service leaks is not known: it is down. Show all 3" in text
    assert "No leak passes the filter." in seen("/?service=gone&q=main", known).text
    alone = seen("/", source(health=lambda: {gone: down})).text
    assert "not known: down" in alone


@pytest.mark.parametrize(
    "path", ["/", "/status", f"/services/{quote(whole(HOSTILE), safe='')}", "/nothing/<b>/here"]
)
def test_no_name_is_markup(path: str) -> None:
    """Scripts and styles are ours, nothing is inline, and no element comes out of a name."""
    answer = get(path)
    page = Seen(answer.text)
    for tag, attributes in page.elements:
        assert tag not in {"b", "style", "iframe", "object"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        if tag == "script":
            assert re.fullmatch(r"(\.\./)*static/[0-9a-f]{12}/[\w./-]+\.js", attributes["src"] or "")
    assert not [href for href in page.links() if ":" in href.partition("/")[0]]


def test_hostile_names_lead_where_they_should() -> None:
    """A service whose name has slashes, quotes, line ends and markup is shown, chosen and linked."""
    name = whole(HOSTILE)
    page = seen("/")
    assert name in page.text
    link = next(link for link in page.links() if link.startswith("services/ns"))
    assert name in seen(f"/{link}").text
    assert f"{wording.short('main.path0')}" not in seen(f"/{link}").text
    assert seen(f"/{OverviewQuery(service=name).link()}").rows("leaks") == seen(f"/{link}").rows("leaks") > 0


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
    """Leaks are those that pass all filters, which stay in the form; where none does, a link leads back to all."""
    page = seen(f"/?{urlencode(query)}")
    shown = {
        (attributes["title"] or "")
        for tag, attributes in page.elements
        if tag == "code" and attributes.get("class") == "function"
    }
    assert shown == functions
    none = "No leak of this service is known." if query.keys() == {"service"} else "No leak passes the filter."
    assert (none in page.text) is not bool(functions)
    chosen = {
        attributes.get("value")
        for tag, attributes in page.elements
        if (tag == "option" and "selected" in attributes) or (tag == "input" and attributes["name"] == "q")
    }
    assert set(query.values()) - {"leaking", "proven"} <= chosen
    assert "./" in page.links()


def test_a_large_fleet_comes_in_portions() -> None:
    """With 2,000 targets and 500 leaks no page is over 300 kB; the portions have every leak once."""
    assert len(large().leaks()) == 500
    bodies = [get(f"/?leaks={number}", large()).content for number in range(1, 11)]
    assert max(map(len, bodies)) < 300_000
    assert len(get("/?state=up", large()).content) < 300_000
    pages = [Seen(body.decode()) for body in bodies]
    assert {page.rows("leaks") for page in pages} == {LEAKS}
    links = [link for page in pages for link in page.links() if link.startswith("leaks/")]
    assert len(set(links)) == len(links) == 500
    assert "40 of 2,000 targets" in pages[0].text
    assert "501" not in seen("/?leaks=999", large()).text
    assert seen("/?leaks=999", large()).rows("leaks") == LEAKS
    down = seen("/?state=down&targets=1", large())
    assert down.rows("targets") == min(40, TARGETS)


@pytest.mark.parametrize("query", ABSURD)
@pytest.mark.parametrize("path", ["/", "/services/shop", "/status"])
def test_absurd_questions(path: str, query: str) -> None:
    """What makes no sense counts as not said; the answer is a page."""
    assert "leakwatch" in seen(f"{path}?{query}").text


@pytest.mark.parametrize(
    "path", ["/nothing", "/services/none", "/a/b/c/d/e", "/static/x/none.css", "/services/a%0Ab"]
)
def test_what_is_not_there(path: str) -> None:
    """It is said on a page of ours, from which links and styles lead back."""
    page = seen(path, status=404)
    assert "Not Found" in page.text
    root = {urljoin(f"http://x{path}", link) for link in page.links()}
    assert {"http://x/", "http://x/status", "http://x/metrics"} <= root


def test_a_mistake_of_ours_is_no_traceback() -> None:
    """The page says so, the log has the rest, and the daemon goes on."""

    def broken() -> dict[Target, TargetHealth]:
        raise ZeroDivisionError

    page = seen("/", source(health=broken), status=500)
    assert "leakwatch made a mistake; its log has more." in page.text
    assert "ZeroDivisionError" not in page.text


@pytest.mark.parametrize("prefix", ["", "/lw", "/a/b"])
@pytest.mark.parametrize("path", ["/", "/status", "/services/shop"])
def test_under_a_prefix(prefix: str, path: str) -> None:
    """Every link, style and script is found below the prefix."""
    page = seen(prefix + path, prefix=prefix)
    addresses = page.links() + [
        address for _, attributes in page.elements if (address := attributes.get("src") or attributes.get("href"))
    ]
    for address in {urljoin(f"http://x{prefix}{path}", one) for one in addresses}:
        below = address.removeprefix("http://x").partition("#")[0]
        assert below.startswith(f"{prefix}/")
        if "/leaks/" not in below:
            assert get(below, prefix=prefix).status_code == 200, below


def test_styles_and_scripts_are_kept() -> None:
    """An address that names the version is kept for good, an older one is answered and kept for nothing."""
    page = seen("/")
    style = next(one["href"] or "" for tag, one in page.elements if tag == "link" and one["rel"] == "stylesheet")
    answer = get(f"/{style}")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/css")
    old = get("/static/older/leakwatch.css")
    assert (old.content, old.headers["cache-control"]) == (answer.content, "no-cache")
    assert get("/static/older/../pages.py").status_code == 404
    assert get("/static/older/%2e%2e/pages.py").status_code == 404


def test_a_browser_may_do_no_more_than_it_must() -> None:
    """The policy lets our own styles and scripts run, nothing inline and nothing from elsewhere."""
    assert (b"content-security-policy", CONTENT_POLICY.encode()) in Headers().encoded()
    assert "default-src 'none'" in CONTENT_POLICY
    assert not {"unsafe", "http", "*"} & set(re.split(r"[ ;'-]+", CONTENT_POLICY))


def test_an_installation_that_is_young_or_empty() -> None:
    """It says what it waits for and until when, not that nothing leaks."""
    nothing = AppState(pipeline=Pipeline(DetectionSettings()))
    assert "There is no target." in seen("/", nothing).text
    assert (
        "waiting for 1 of 1 discoveries"
        in seen(
            "/", AppState(pipeline=Pipeline(DetectionSettings()), ready=lambda: "waiting for 1 of 1 discoveries")
        ).text
    )
    new = {Target("a", "b:1"): TargetHealth()}
    page = seen("/", AppState(pipeline=Pipeline(DetectionSettings()), health=lambda: new))
    assert "No target has been scraped yet." in page.text
    assert "not scraped yet" in page.text
    young = {target: state for target, state in source().health().items() if target.service == "young"}
    text = " ".join(seen("/", source(health=lambda: young)).text.split())
    assert re.search(r"The first verdict is possible in \d+m", text)
    assert re.search(r"judged in \d+m", text)


def test_status() -> None:
    """Itself, what it takes, rules of ignore with what they hide, and the configuration."""
    text = " ".join(seen("/status").text.split())
    for said in ("MiB", "of one core", "No Alertmanager is configured", "main.hidden*", "by design", "10,000"):
        assert said in text
    assert "matches no stack" in text
    assert "scrape_interval: 15s" in text
    assert "The latest reload failed" not in text
    failed = source(reloaded=lambda: ("leakwatch.yml:3: <b>no</b>", 1.0))
    assert "leakwatch.yml:3: <b>no</b>" in seen("/status", failed).text
    assert "is not ready: waiting for 1 of 2" in seen("/status", source(ready=lambda: "waiting for 1 of 2")).text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (18000, "+18,000"),
        (60.4, "+60"),
        (0.44, "+0.4"),
        (-0.00001, "+0"),
        (-1.5, "\N{MINUS SIGN}1.5"),
        (None, "\N{EN DASH}"),
    ],
)
def test_rates(rate: float | None, text: str) -> None:
    """With separators and sign, one decimal only where it matters, and no minus before nothing."""
    assert wording.rate(rate) == text


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("example.com/shop/pipeline.(*Filter).Run.func1", "pipeline.(*Filter).Run.func1"),
        ("main.main", "main.main"),
        ("a/b.Map[example.com/x/y.T,go.shape.int]", "b.Map[example.com/x/y.T,go.shape.int]"),
        ("a/b/", "a/b/"),
        ("x" * 500, "x" * wording.LONGEST + "…"),
    ],
)
def test_functions(function: str, text: str) -> None:
    """Without the path of the package, and never absurdly long."""
    assert wording.short(function) == text


def test_other_words() -> None:
    """Durations, ratios and places as people say them."""
    assert [wording.duration(one) for one in (0.004, 0, 59, 7800, 90000, -3, None)] == [
        "4ms",
        "0ms",
        "59s",
        "2h 10m",
        "1d 1h",
        "0ms",
        "\N{EN DASH}",
    ]
    assert [wording.percent(one) for one in (0.97, 0.004, 0, None)] == ["97 %", "0.4 %", "0 %", "\N{EN DASH}"]
    assert wording.place("/go/src/shop/internal/run.go", 7) == "shop/internal/run.go:7"
    assert wording.place("") == ""
    assert wording.clock(0, 3600) == "00:00 UTC"
    assert wording.clock(0, 90000) == "Jan 01 00:00 UTC"


def test_sparklines() -> None:
    """They begin at zero, leave gaps out, mark a beginning that they show, and need two points."""
    plot = sparkline([0, None, 5, 10], 0, 100, 50)
    assert plot
    assert plot.line.count(",") == 3
    assert plot.y == PAD
    assert plot.line.split()[0].endswith(f",{HEIGHT - PAD}")
    assert plot.mark == plot.width / 2
    assert (plot.first, plot.last) == (0, 10)
    for began in (-1, 100, None):
        other = sparkline([1, 2], 0, 100, began)
        assert other
        assert other.mark is None
    assert sparkline([1], 0, 100) is sparkline([1, 2], None, 100) is sparkline([None, None], 0, 1) is None


def test_queries_are_kept() -> None:
    """A link to another portion asks for the same otherwise; what somebody asked is read back."""
    wanted = OverviewQuery(q='a&b="c"', service=whole(HOSTILE), verdict="leaking", leaks=3)
    again = OverviewQuery.read(QueryParams(wanted.link(targets=2).removeprefix("?")))
    assert again == OverviewQuery(q='a&b="c"', service=whole(HOSTILE), verdict="leaking", leaks=3, targets=2)
    assert OverviewQuery().link() == "?"
    assert not OverviewQuery(leaks=2)
    assert OverviewQuery(state="down")
