"""The pages of a leak and of a target in a real browser, on a real service that leaks."""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browsing import PATIENCE, PHONE, Visit, chromium, hard_to_use, too_wide
from tests.support.running import FAST, Daemon, Programs, post
from tests.support.waiting import wait_for

SERVICE = 'ns/<script>alert("1")</script>'
NOT_EMPTY = (
    """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"""
)


@dataclass(frozen=True)
class World:
    """Two instances of a service that leaks, and the daemon that reports the leak."""

    daemon: Daemon
    config: Path
    leak: str
    """Path of the page of the leak."""
    target: str
    """Path of the page of one of its targets."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run the browser."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def world(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start service and daemon, and wait for the verdict."""
    with Programs(programs) as start:
        addresses = [start("w5pipeline", "-rate", rate).removeprefix("http://") for rate in ("30", "26")]
        config = tmp_path_factory.mktemp("browser") / "leakwatch.yml"
        jobs = [{"job_name": SERVICE, "static_configs": [{"targets": addresses}]}]
        kept = {"path": str(config.parent / "evidence")}
        config.write_text(FAST + yaml.safe_dump({"scrape_configs": jobs, "evidence": kept}))
        daemon = Daemon("--config", config)
        try:
            (leak, *_) = wait_for(lambda: daemon.get("/api/v1/leaks?verdict=leaking").json()["leaks"])
            target = daemon.get("/api/v1/targets").json()["targets"][0]
            yield World(daemon, config, f"/leaks/{leak['id']}", f"/targets/{target['id']}")
        finally:
            daemon.stop()


def told(at: Locator, name: str) -> int:
    """Return a number that a script has set as an attribute, 0 before."""
    return int(at.get_attribute(name) or 0)


def number(element: Locator) -> int:
    """Return the number that an element shows."""
    return int(element.inner_text().replace(",", ""))


def count(fact: Locator) -> int:
    """Return the number of goroutines in the sentence of a leak."""
    (goroutines,) = re.findall(r"([0-9,]+) goroutines are there now", fact.inner_text())
    return int(goroutines.replace(",", ""))


def drawn(page: Page, points: int = 5) -> int:
    """Wait for the large plot; return how many points it has."""
    plot = page.locator("[data-plot=leak]")
    return wait_for(lambda: (count := told(plot, "data-points")) >= points and count)


def test_the_plots_of_a_leak_have_data(world: World, browser: Browser) -> None:
    """Count, floor and fitted growth are drawn, for all targets and for each; names are text."""
    with Visit(browser, world.daemon.url) as page:
        page.goto(world.daemon.url + world.leak)
        drawn(page)
        large = page.locator("[data-plot=leak]")
        mean, floor, fit, low, high, *ahead = map(int, (large.get_attribute("data-lines") or "").split())
        assert min(mean, floor) >= 5
        assert fit == low == high >= 2
        assert len(ahead) == 3
        assert large.locator("canvas").evaluate(NOT_EMPTY)
        small = page.locator("[data-plot=target]")
        expect(small).to_have_count(2)
        expect(small.locator("canvas")).to_have_count(2)
        assert all(one.evaluate(NOT_EMPTY) for one in small.locator("canvas").all())
        expect(page.get_by_role("heading", level=1)).to_have_text("main.FilterService")
        expect(page.locator(".crumb")).to_contain_text(
            re.compile(f"leaking (page|ticket) in {re.escape(SERVICE)}")
        )
        expect(page.locator(".stack .blamed")).to_contain_text("main.FilterService")


def test_the_plot_without_scripts(world: World, browser: Browser) -> None:
    """Without scripts, the plot is a line over the whole width, with a table below."""
    with Visit(browser, world.daemon.url, scripts=False) as page:
        page.goto(world.daemon.url + world.leak)
        plot, line = page.locator("[data-plot=leak]").bounding_box(), page.locator(".still svg").bounding_box()
        assert plot
        assert line
        assert line["width"] > 0.9 * plot["width"]
        assert line["height"] > 90
        expect(page.get_by_text("Show as table")).to_be_visible()


def test_the_legend_shows_and_hides_lines(world: World, browser: Browser) -> None:
    """The floor is hidden until its name in the legend is clicked."""
    with Visit(browser, world.daemon.url) as page:
        page.goto(world.daemon.url + world.leak)
        drawn(page)
        floor = page.locator("[data-plot=leak] .u-legend tr", has_text="floor")
        expect(floor).to_have_class(re.compile("u-off"))
        floor.locator("th").click()
        expect(floor).not_to_have_class(re.compile("u-off"))


def test_a_line_rises_where_the_growth_begins(world: World, browser: Browser) -> None:
    """The hour in which the growth begins is one point: its beginning, with the level of the hour before."""
    series = world.daemon.get(f"/api/v1{world.leak}/series").json()
    hours = {"seconds": 3600.0, "times": [1800, 5400, 9000, 12600], "mean": [7, 5, 50, 200], "floor": [4] * 4}
    recent = {"seconds": 300.0, "times": [14500, 15000], "mean": [290, 300], "floor": [280, 300]}
    growth = {"value": 150.0, "low": 140.0, "high": 160.0}
    fit = {"since": 12600.0, "until": None, "before": 190.0, "per_hour": growth}
    began = {"time": 8000.0, "kind": "first_seen", "text": "growth starts", "target": ""}
    series |= {"hours": hours, "recent": recent, "fit": fit, "forecast": None, "marks": [began]}
    with Visit(browser, world.daemon.url) as page:
        page.route("**/series", lambda route: route.fulfill(json=series))
        page.goto(world.daemon.url + world.leak)
        drawn(page)
        plot = page.locator("[data-plot=leak]")
        values = plot.locator(".u-legend td")
        plot.focus()
        points = []
        for _ in range(6):
            page.keyboard.press("ArrowLeft")
            time, mean, *_ = values.all_inner_texts()
            points.append((time.split(", ")[-1], mean))
    times = ["04:10:00", "04:01:40", "03:30:00", "02:13:20", "01:30:00", "00:30:00"]
    assert points == list(zip(times, ["300", "290", "200", "5", "5", "7"], strict=True))


def test_a_leak_stays_as_it_is_now(world: World, browser: Browser) -> None:
    """Without a reload the count goes up, the plot grows, and a reader's place in it stays."""
    with Visit(browser, world.daemon.url) as page:
        page.goto(world.daemon.url + world.leak)
        before = drawn(page)
        page.evaluate("window.sameDocument = true")
        page.get_by_text("Show as table").click()
        fact = page.locator(".headline .fact")
        said = count(fact)
        wait_for(lambda: count(fact) > said)
        assert drawn(page, before) >= before
        assert page.evaluate("window.sameDocument") is True
        expect(page.locator("details").first).to_have_attribute("open", "")


WIDTHS = """() => new Promise(done => {
    const seen = new Set(), began = performance.now();
    function look() {
        const rects = [...document.querySelectorAll("[data-flame] g.frame rect")];
        seen.add(Math.max(...rects.slice(1).map(rect => Number(rect.getAttribute("width")))));
        if (performance.now() - began < 1000) requestAnimationFrame(look);
        else done(seen.size);
    }
    look();
    document.dispatchEvent(new CustomEvent("leakwatch:refreshed"));
})"""


def test_a_flame_graph_that_is_drawn_anew_does_not_move(world: World, browser: Browser) -> None:
    """News change the widths at once: the widest call has one width for each response, and none between."""
    with Visit(browser, world.daemon.url) as page:
        responses: list[str] = []
        page.on("response", lambda response: responses.append(response.url))
        page.goto(world.daemon.url + world.target)
        page.locator("[data-flame][data-calls]").wait_for()

        def is_still() -> bool:
            before = len(responses)
            widths: int = page.evaluate(WIDTHS)
            return widths <= len(responses) - before + 2  # the first width, and that of a response before

        wait_for(is_still)  # the first drawing moves, on a busy machine for longer than its 250 ms


def test_keys_move_along_the_line(world: World, browser: Browser) -> None:
    """Each press of an arrow key moves the legend to another time of the plot."""
    with Visit(browser, world.daemon.url) as page:
        page.goto(world.daemon.url + world.leak)
        drawn(page)
        value = page.locator(".u-legend .u-value").nth(1)
        expect(value).to_have_text(re.compile("[0-9]+"))
        page.locator("[data-plot=leak]").focus()
        page.keyboard.press("ArrowLeft")
        latest = number(value)
        for _ in range(4):
            page.keyboard.press("ArrowLeft")
        assert number(value) < latest


def test_a_zoom_stays(world: World, browser: Browser) -> None:
    """A dragged range is in the address, stays after a refresh and a reload, and can be reset."""

    def times() -> tuple[int, int]:
        return told(plot, "data-from"), told(plot, "data-to")

    with Visit(browser, world.daemon.url) as page:
        page.goto(world.daemon.url + world.leak)
        drawn(page)
        plot = page.locator("[data-plot=leak]")
        everything = times()
        box = plot.locator(".u-over").bounding_box()
        assert box
        page.mouse.move(box["x"] + 20, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 120, box["y"] + 60, steps=3)
        page.mouse.up()
        zoomed = times()
        assert everything[0] <= zoomed[0] < zoomed[1] < everything[1]
        assert page.url.endswith(f"?from={zoomed[0]}&to={zoomed[1]}")
        page.evaluate("document.dispatchEvent(new CustomEvent('leakwatch:refreshed'))")
        page.reload()
        drawn(page)
        assert times() == zoomed
        page.get_by_role("button", name="Reset zoom").click()
        assert times()[1] - times()[0] > zoomed[1] - zoomed[0]
        assert "?" not in page.url


def test_the_leak_can_be_copied_for_an_issue(world: World, browser: Browser) -> None:
    """The buttons copy the stack as text and the leak as Markdown."""
    with Visit(browser, world.daemon.url) as page:
        page.goto(world.daemon.url + world.leak)
        for name, begin in {"Copy stack": "main.FilterService\n\t", "Copy as Markdown": "**ns/"}.items():
            page.get_by_role("button", name=name).click()
            page.get_by_role("button", name="Copied").wait_for()
            assert page.evaluate("navigator.clipboard.readText()").startswith(begin)
            page.get_by_role("button", name=name).wait_for()


def test_what_is_to_be_pasted_can_be_copied(world: World, browser: Browser) -> None:
    """The button copies the rule, which is YAML that names the function."""
    with Visit(browser, world.daemon.url) as page:
        page.goto(world.daemon.url + world.leak)
        page.locator("[data-copy=ignore-rule]").click()
        expect(page.locator("[data-copy=ignore-rule]")).to_have_text("Copied")
        copied = yaml.safe_load(page.evaluate("navigator.clipboard.readText()"))
        assert copied["ignore"][0]["function"] == "main.FilterService"


def test_evidence_can_be_downloaded(world: World, browser: Browser) -> None:
    """Evidence that was stored when the verdict changed is listed and can be downloaded."""
    with Visit(browser, world.daemon.url) as page:
        for path in (world.leak, world.target):
            page.goto(world.daemon.url + path)
            with page.expect_download() as download:
                page.locator("#kept").get_by_role(
                    "link", name=re.compile("^pprof: .* for go tool pprof$")
                ).first.click()
            assert download.value.path().read_bytes().startswith(b"\x1f\x8b")
            row = page.locator("#kept tbody tr", has=page.locator("[data-name=Format]", has_text="text")).first
            with page.expect_download() as download:
                row.get_by_role("link", name=re.compile("^raw: .* as stored, text$")).click()
            assert gzip.decompress(download.value.path().read_bytes()).startswith(b"goroutine profile: ")


@pytest.mark.parametrize("scripts", [True, False])
def test_the_difference_to_a_kept_moment(world: World, browser: Browser, *, scripts: bool) -> None:
    """One click shows the growth since the first evidence, with and without scripts, on any screen."""
    with Visit(browser, world.daemon.url, scripts=scripts) as page:
        page.goto(world.daemon.url + world.target)
        form = page.locator("#difference form")
        expect(form.get_by_label("To")).to_have_value("now")
        form.get_by_role("button", name="Compare").click()
        first = page.locator(".changes tbody tr").first
        expect(first).to_contain_text("main.FilterService")
        expect(first).to_contain_text("grown")
        sections = page.locator("main section").evaluate_all("all => all.map((one) => one.id)")
        assert sections[:3] == ["flame", "difference", "stacks"]
        assert page.url.endswith("#difference")
        if scripts:  # the table follows the target, and the choice stays
            said = first.inner_text()
            wait_for(lambda: first.inner_text() != said)
            expect(form.get_by_label("To")).to_have_value("now")
            assert not hard_to_use(page)
        page.set_viewport_size({"width": PHONE, "height": 800})
        assert not scripts or not too_wide(page)


def test_the_flame_graph_can_be_searched(world: World, browser: Browser) -> None:
    """Calls are drawn and coloured by growth; what is searched is found, and can be zoomed into."""
    with Visit(browser, world.daemon.url) as page:
        page.goto(world.daemon.url + world.target)
        flame = page.locator("[data-flame]")
        wait_for(lambda: told(flame, "data-calls") > 1)
        colours = flame.locator("rect").evaluate_all(
            "all => [...new Set(all.map((one) => one.getAttribute('fill')))]"
        )
        assert len(colours) >= 2
        search = page.get_by_label("Find a function")
        search.fill("filterservice")
        expect(flame).to_have_attribute("data-found", "1")
        expect(page.locator("#flame-status")).to_contain_text("goroutines are in them")
        search.press("Enter")
        page.get_by_role("button", name="Show all").click()
        expect(page.get_by_role("button", name="Show all")).to_be_hidden()
        search.fill("[")
        expect(flame).to_have_attribute("data-found", "0")
        search.press("Escape")
        expect(search).to_have_value("")


def test_the_flame_graph_works_by_keyboard(world: World, browser: Browser) -> None:
    """One click leads from the leak to the flame graph of its changes; keys move between frames and zoom."""
    with Visit(browser, world.daemon.url) as page:
        page.goto(world.daemon.url + world.leak)
        page.get_by_role("link", name="Before and now").click()
        flame, status = page.locator("[data-flame]"), page.locator("#flame-status")
        wait_for(lambda: told(flame, "data-calls") > 1)
        flame.focus()
        page.keyboard.press("ArrowDown")
        expect(status).to_contain_text("100.0 %")
        page.keyboard.press("ArrowDown")
        expect(status).to_contain_text("main.FilterService")
        expect(status).to_contain_text("since then")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Show all")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Show all")).to_be_hidden()
        assert not hard_to_use(page)


def test_stacks_are_sorted_and_found(world: World, browser: Browser) -> None:
    """The table can be sorted and searched; the stack that leaks leads to the page of its leak."""
    with Visit(browser, world.daemon.url) as page:
        page.goto(world.daemon.url + world.target)
        page.get_by_role("link", name="count", exact=True).click()
        counts = [
            int(text.replace(",", "")) for text in page.locator("#stacks tbody td:first-child").all_inner_texts()
        ]
        assert counts == sorted(counts, reverse=True)
        page.locator("#stacks input[type=search]").fill("FilterService")
        rows = page.locator("#stacks tbody tr")
        expect(rows.filter(has_not_text="FilterService")).to_have_count(
            0
        )  # it may sleep in one, and send in another
        rows.get_by_role("link", name=re.compile("leaking|proven")).first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text("main.FilterService")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_them(world: World, browser: Browser, scheme: str) -> None:
    """axe-core finds nothing serious, in both schemes; a phone shows them without scrolling aside."""
    with Visit(browser, world.daemon.url, scheme="dark" if scheme == "dark" else "light", width=PHONE) as page:
        for path in (world.leak, world.target):
            page.goto(world.daemon.url + path)
            page.wait_for_selector("canvas, g.frame")
            assert hard_to_use(page) == []
            assert too_wide(page) == 0


def test_plots_follow_the_scheme(world: World, browser: Browser) -> None:
    """When it gets dark, plots are drawn anew in other colours."""
    with Visit(browser, world.daemon.url) as page:
        page.goto(world.daemon.url + world.leak)
        drawn(page)
        canvas = page.locator("[data-plot=leak] canvas")
        light = canvas.evaluate("canvas => canvas.toDataURL()")
        page.emulate_media(color_scheme="dark")
        wait_for(lambda: canvas.evaluate("canvas => canvas.toDataURL()") != light)
        drawn(page)


def test_without_scripts_the_numbers_stand_there(world: World, browser: Browser) -> None:
    """Without scripts, both pages show the numbers as tables."""
    with Visit(browser, world.daemon.url, scripts=False) as page:
        page.goto(world.daemon.url + world.leak)
        page.get_by_text("Show as table").click()
        assert page.locator("#numbers table").first.locator("tbody tr").count() >= 5
        expect(page.locator("[data-copy]").first).to_be_hidden()
        page.goto(world.daemon.url + world.target)
        assert page.locator("#stacks tbody tr").count() > 5
        expect(page.locator("#flame-tools")).to_be_hidden()


def reload(world: World) -> None:
    """Let the daemon take its configuration anew."""
    assert post(f"{world.daemon.url}/-/reload").status_code == 200


def test_a_leak_that_ends_has_a_message(world: World, browser: Browser) -> None:
    """If a new rule hides the leak while its page is open, the page names the rule."""
    with Visit(browser, world.daemon.url, allowed="404") as page:
        page.goto(world.daemon.url + world.leak)
        drawn(page)
        rule = {"ignore": [{"function": "main.Filter*", "reason": "known", "owner": "me"}]}
        before = world.config.read_text()
        world.config.write_text(before + yaml.safe_dump(rule))
        try:
            reload(world)
            expect(page.locator("main")).to_contain_text("is hidden by", timeout=PATIENCE)
        finally:
            world.config.write_text(before)
            reload(world)
