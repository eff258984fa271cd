"""The pages of a leak and of a target, as text: what they say, and that no name is ever markup."""

import asyncio
import re
from functools import cache
from hashlib import sha256
from urllib.parse import quote

import httpx
import pytest
from starlette.types import ASGIApp

from leakwatch.leaks.model import Findings
from leakwatch.leaks.ownership.source_links import Links, LinkTemplate
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Frame, Target, TargetHealth, Waiting
from leakwatch.pipeline import Pipeline
from leakwatch.web.api.findings import findings
from leakwatch.web.api.flame_graph import flame_graph
from leakwatch.web.api.leaks import leak_id
from leakwatch.web.api.models.types import whole
from leakwatch.web.api.series import leak_series
from leakwatch.web.api.targets import target_list
from leakwatch.web.pages import assets
from leakwatch.web.pages.app import make_pages
from leakwatch.web.pages.leak import numbers
from tests.support.api_world import DOWN, HOSTILE, LONG, NEW, ODD, ONE, pipeline, source
from tests.support.seen_pages import Seen
from tests.support.simulated import play

VENDOR = assets.FOLDER / "vendor"


@cache
def pages() -> ASGIApp:
    """Return the pages of the world."""
    return make_pages(source())


def get(path: str, app: ASGIApp | None = None) -> httpx.Response:
    """Return what the pages answer."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app or pages())
        async with httpx.AsyncClient(transport=transport, base_url="http://leakwatch") as client:
            return await client.get(path)

    return asyncio.run(ask())


def leaks_of(service: str) -> list[str]:
    """Return the paths of a service's leaks."""
    return [f"/leaks/{leak_id(leak)}" for leak in source().leaks() if leak.service == service]


def path_of(target: Target) -> str:
    """Return the path of a target's page."""
    return f"/targets/{quote(whole(target.service), safe='')}/{quote(whole(target.name), safe='')}"


ALL = [*leaks_of(HOSTILE), *leaks_of("shop"), *(path_of(target) for target in (ONE, ODD, NEW, DOWN))]


@pytest.mark.parametrize("path", ALL)
def test_no_name_is_markup(path: str) -> None:
    """Scripts and styles are ours, nothing is inline, and no element comes out of a name."""
    answer = get(path)
    assert answer.status_code == 200
    page = Seen(answer.text)
    for tag, attributes in page.elements:
        assert tag not in {"b", "style", "iframe", "object"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        if tag == "script":
            assert re.fullmatch(r"(\.\./)*static/[0-9a-f]{12}/[\w./-]+\.js", attributes["src"] or "")
    assert not [href for href in page.attributes("href") if ":" in href.partition("/")[0]]
    assert len(answer.content) < 300_000


def test_hostile_names_are_text() -> None:
    """Each name is there, as it is: with markup, quotes, letters that turn the direction, and whole."""
    seen = [Seen(get(path).text) for path in leaks_of(HOSTILE)]
    assert seen
    texts = "".join(page.text for page in seen)
    assert "main.half a letter: ?<b>" in texts
    assert f"{LONG[:2000]}…" in set(Seen(get(path_of(ODD)).text).attributes("title"))
    for page in seen:
        assert HOSTILE in page.text
        assert ODD.name in set(page.attributes("data-target"))


def test_a_leak_says_what_where_and_since_when() -> None:
    """The headline has service, verdict, function, count, rate with its band, and owner; below stands why."""
    (path,) = [path for path in leaks_of("shop") if "main.leak" in Seen(get(path).text).text]
    text = " ".join(Seen(get(path).text).text.split())
    for said in ("leaking in shop", "owner team <shop>", "main.leak", "goroutines894 ", "/src/leak.go:7"):
        assert said in text
    assert re.search(r"an hour, \+\d+ to \+\d+\+\d+ ", text)
    (leak,) = [leak for leak in source().leaks() if leak.stack.blamed.function == "main.leak"]
    assert leak.reason in text
    assert "started with go" in text
    assert "at_most:" in text
    assert "On 2 targets" in text


def test_the_numbers_stand_there_without_scripts() -> None:
    """The table has what the plot shows, each moment once and the newest first."""
    (path,) = [path for path in leaks_of("shop") if "main.leak" in get(path).text]
    known = source()
    service, stack = path.removeprefix("/leaks/").split("/")
    rows = numbers(leak_series(known, service, stack))
    times = [time for time, _, _ in rows]
    assert times == sorted(set(times), reverse=True)
    assert rows[0][1:] == (894.0, 894.0)


def test_unknown_ones_are_a_page_too() -> None:
    """What is not there, or no longer, is said by a page; one that is told with another leads there."""
    for path in ("/leaks/shop/0123456789abcdef", "/leaks/nobody/0123456789abcdef", "/targets/shop/nowhere"):
        answer = get(path)
        assert answer.status_code == 404
        assert "There is no" in answer.text.replace("there is no", "There is no")
        assert "Traceback" not in answer.text
    assert get("/leaks/shop/no-fingerprint").status_code == 404


@pytest.mark.parametrize(
    "query", ["?sort=upwards&stacks=-1", "?stacks=999999&q=%00", f"?q={'x' * 5000}", "?q=%ff%fe"]
)
def test_absurd_queries_count_as_not_said(query: str) -> None:
    """A target's page takes any query."""
    assert get(path_of(ONE) + query).status_code == 200


def test_stacks_are_sorted_and_found() -> None:
    """Sorted by growth, count or name, and only those with a text in them, in any case."""

    def functions(query: str) -> list[str]:
        text = get(path_of(ONE) + query).text
        return re.findall(
            r"<th scope=\"row\" data-name=\"Function\"><code class=\"function\" title=\"([^\"]*)\"", text
        )

    assert functions("")[0] == functions("?sort=count")[0] == "main.leak"
    names = functions("?sort=name")
    assert names == sorted(names)
    assert len(names) > 3
    assert set(functions("?q=LEAK")) == {"main.leak"}
    assert functions("?q=nowhere") == []


def test_a_target_says_how_it_is_scraped() -> None:
    """A target that is down says why; a young one says until when nothing can be known."""
    assert "connection" in Seen(get(path_of(DOWN)).text).text
    assert "no <way>" in Seen(get(path_of(DOWN)).text).text
    assert "The first verdict is possible in" in Seen(get(path_of(NEW)).text).text


def test_what_is_not_reached_pays_nothing() -> None:
    """The cost of a target where nobody answers, or not as TLS, is not known; of one that fails slowly it is."""

    def cost(reason: str) -> tuple[float | None, str]:
        state = TargetHealth(up=False, reason=reason, error="no", since=1.0, time=2.0, duration=0.3, interval=15.0)
        known = source(health=lambda: {DOWN: state})
        text = " ".join(Seen(get(path_of(DOWN), make_pages(known)).text).text.split())
        (said,) = re.findall(r"Its cost ?(.*?) ?Results", text)
        return target_list(known).targets[0].cost_ratio, said

    for reason in ("connection", "tls"):
        assert cost(reason) == (None, "\N{EN DASH}")
    assert cost("timeout") == (0.3 / 15.0, "2 % of one core at most")


def test_a_target_that_never_answered_has_no_numbers() -> None:
    """Its counts are not known, rather than none, and each part says that there is no profile yet."""
    page = get(path_of(DOWN)).text
    text = " ".join(Seen(page).text.split())
    assert "goroutines\N{EN DASH}" in text.replace("goroutines \N{EN DASH}", "goroutines\N{EN DASH}")
    assert "stacks\N{EN DASH}" in text.replace("stacks \N{EN DASH}", "stacks\N{EN DASH}")
    for path in (path_of(DOWN), f"{path_of(DOWN)}?q=main"):
        assert get(path).text.count("No profile yet.") == 2
    assert flame_graph(source(), f"{DOWN.service}/{DOWN.name}").scraped_at is None
    assert flame_graph(source(), f"{ONE.service}/{ONE.name}").scraped_at == pipeline().targets[ONE].history.time
    assert "No profile yet." not in get(path_of(ONE)).text
    assert 'id="stacks-title">Stacks <small></small>' in page


def test_frames_link_to_their_source() -> None:
    """Each place leads to where it is shown, if that is known; the link is an attribute, whatever is in it."""
    template = LinkTemplate.of('https://git.example/x?a="b"&file={file}#L{line}')
    pipeline, _ = play(
        lambda at: {"leak": int(at / 60), "idle": 7}, 3, Pipeline(DetectionSettings(links=Links({"": template})))
    )
    (leak,) = pipeline.open_leaks()
    page = Seen(get(f"/leaks/{leak_id(leak)}", make_pages(source(pipeline=pipeline))).text)
    links = [link for link in page.attributes("href") if link.startswith("https:")]
    assert len(links) == 1 + len(leak.stack.frames)
    assert {link.rpartition("#")[2] for link in links} == {f"L{frame.line}" for frame in leak.stack.frames}
    assert all(link.startswith('https://git.example/x?a="b"&file=') for link in links)


def test_findings_are_told_in_order() -> None:
    """The oldest bound comes first, a younger one only where it tells of more; creators keep their place."""
    waiting = Waiting(
        {None: 2, 5: 1, 90: 4},
        {"select": 7},
        {Frame("main.a", "a.go", 1): 2, Frame("main.b"): 3, Frame("main.a"): 2},
    )
    found = findings(
        Findings(
            proven=3,
            waiting=waiting,
            older={60.0: 5, 3600.0: 4, 7200.0: 4, 600.0: 0},
            unavailable={"dump": "too large"},
        )
    )
    assert [(one.seconds, one.goroutines) for one in found.older] == [(7200, 4), (60, 5)]
    assert found.proven == 3
    assert found.ages is not None
    assert (found.ages.goroutines, found.ages.oldest_minutes, found.ages.median_minutes) == (7, 90, 90)
    assert [(one.function, one.goroutines) for one in found.ages.creators] == [
        ("main.a", 2),
        ("main.b", 3),
        ("main.a", 2),
    ]
    assert found.missing == {"dump": "too large"}
    assert findings(Findings()).ages is None


def test_what_we_take_from_others_is_what_was_fetched() -> None:
    """Each vendored file is the one that was fetched, and has its licence beside it."""
    sums = dict(line.split()[::-1] for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    files = {path.name for path in VENDOR.iterdir()} - {"SHA256SUMS", "README.md", "packages.txt"}
    assert sums.keys() == files
    for name, digest in sums.items():
        assert sha256((VENDOR / name).read_bytes()).hexdigest() == digest
    for script in VENDOR.glob("*.js"):
        assert (VENDOR / f"{script.name.partition('.')[0]}.LICENSE").is_file()
        assert get(f"/static/any/vendor/{script.name}").content == script.read_bytes()
