"""The overview and the status in a real browser, on a real service that begins to leak."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import yaml
from playwright.sync_api import Browser, expect

from tests.support.browsing import PHONE, Visit, chromium, hard_to_use, too_wide
from tests.support.running import FAST, Daemon, Programs

SERVICE = 'ns/<script>alert("1")</script> \u202etfel'
DOWN = "127.0.0.1:1"


@dataclass(frozen=True)
class World:
    """A service that leaks, one that does not, one that is down; the daemon, and its page before any verdict."""

    daemon: Daemon
    seen: dict[str, str]
    """The text of the page before and after the verdict, whether the document stayed, and the focused element."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run the browser."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def world(programs: Path, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start services and daemon, and look at the page until the leak stands on it."""
    with Programs(programs) as start:
        jobs = {
            SERVICE: start("w5pipeline").removeprefix("http://"),
            "healthy": start("healthy").removeprefix("http://"),
            "gone": DOWN,
        }
        config = tmp_path_factory.mktemp("browser") / "leakwatch.yml"
        scraped = [
            {"job_name": name, "static_configs": [{"targets": [at]}], "authorization": {"credentials": "hunter2"}}
            for name, at in jobs.items()
        ]
        settings = {"scrape_configs": scraped, "owners": {"main.": "team-pipeline"}}
        config.write_text(FAST + yaml.safe_dump(settings))
        daemon = Daemon("--config", config)
        try:
            yield World(daemon, watched(browser, daemon))
        finally:
            daemon.stop()


def watched(browser: Browser, daemon: Daemon) -> dict[str, str]:
    """Open the page before the first verdict, focus a field and wait for the leak; return the texts."""
    with Visit(browser, daemon.url) as page:
        page.goto(f"{daemon.url}/")
        page.evaluate("window.sameDocument = true")
        before = page.locator("main").inner_text()
        page.get_by_label("Text").focus()
        page.locator("tr.leaking").first.wait_for()
        focus = page.evaluate("document.activeElement.name")
        same = str(page.evaluate("window.sameDocument === true"))
        after = page.locator("section#leaks").inner_text()
        return {"before": before, "after": after, "document": same, "focus": focus}


def test_a_leak_appears_by_itself(world: World) -> None:
    """The page that announced the first verdict shows the leak without a reload; the focus stays."""
    assert "Collecting data: first verdict in" in world.seen["before"] or "No target has" in world.seen["before"]
    assert "main.FilterService" not in world.seen["before"]
    assert "main.FilterService" in world.seen["after"]
    assert SERVICE in world.seen["after"]
    assert "team-pipeline" in world.seen["after"]
    assert world.seen["document"] == "True"
    assert world.seen["focus"] == "q"


def test_filters(world: World, browser: Browser) -> None:
    """Each filter counts at once, stands in the address, and stays while the page follows what happens."""
    with Visit(browser, world.daemon.url) as page:
        page.goto(f"{world.daemon.url}/")
        leaks, services = page.locator("table.leaks tbody tr"), page.locator("table.services tbody tr")
        expect(leaks).not_to_have_count(0)
        expect(services).to_have_count(3)
        page.get_by_label("Text").type("no such thing")
        expect(page.locator("#leaks")).to_contain_text("No leak passes the filter.")
        expect(page).to_have_url(re.compile(r"\?q=no\+such\+thing$"))  # the last of several requests while typing
        page.get_by_label("Text").fill("filterservice")
        expect(leaks).not_to_have_count(0)
        page.get_by_label("Service").select_option("healthy")
        expect(page.locator("#leaks")).to_contain_text("No leak passes the filter.")
        page.get_by_label("Service").select_option(SERVICE)
        page.get_by_label("Owner").select_option("team-pipeline")
        expect(leaks).not_to_have_count(0)
        page.get_by_label("Verdict").select_option("proven")
        expect(page.locator("#leaks")).to_contain_text("No leak passes the filter.")
        page.reload()
        expect(page.get_by_label("Verdict")).to_have_value("proven")
        expect(page.get_by_label("Service")).to_have_value(SERVICE)
        page.get_by_role("link", name="Show all", exact=True).click()
        expect(services).to_have_count(3)


def test_numbers_stay_live(world: World, browser: Browser) -> None:
    """Counts go up and what somebody has typed stays."""
    with Visit(browser, world.daemon.url) as page:
        page.goto(f"{world.daemon.url}/")
        count = page.locator("tr.leaking .big").first
        said = count.inner_text()
        page.get_by_label("Text").focus()
        page.wait_for_function("(said) => document.querySelector('.leaking .big').innerText !== said", arg=said)
        assert int(count.inner_text().replace(",", "")) > int(said.replace(",", ""))
        expect(page.get_by_label("Text")).to_be_focused()
        expect(page.locator("#live")).to_have_text("live")


def test_the_keyboard_is_enough(world: World, browser: Browser) -> None:
    """The first stop skips to the content; a leak is opened by Enter, in the colours of the reader."""
    with Visit(browser, world.daemon.url) as page:
        page.goto(f"{world.daemon.url}/")
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        page.locator("tr.leaking th a").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/leaks/**")
        expect(page.get_by_role("heading", level=1)).to_contain_text("main.FilterService")


def test_each_part_of_a_row_opens_the_leak(world: World, browser: Browser) -> None:
    """A click on the verdict, the rate, its band or the age opens the leak; the name of the service has a link."""
    with Visit(browser, world.daemon.url) as page:
        for part in (".verdict", ".trend svg", "td[data-name=Growth]", ".band", "td[data-name=Since] time"):
            page.goto(f"{world.daemon.url}/")
            box = page.locator("tr.leaking").first.locator(part).first.bounding_box()
            assert box
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            page.wait_for_url("**/leaks/**")
        page.goto(f"{world.daemon.url}/")
        page.locator("tr.leaking td[data-name=Service] a").first.click()
        page.wait_for_url("**/services/**")


def test_without_scripts(world: World, browser: Browser) -> None:
    """Filters are a form with a button, and everything stands there."""
    with Visit(browser, world.daemon.url, scripts=False) as page:
        page.goto(f"{world.daemon.url}/")
        page.get_by_label("Text").fill("nothing like it")
        page.get_by_role("button", name="Show").click()
        expect(page.locator("#leaks")).to_contain_text("No leak passes the filter.")
        page.get_by_role("link", name="Show all", exact=True).click()
        expect(page.locator("tr.leaking").first).to_be_visible()
        expect(page.locator("#down")).to_contain_text(DOWN)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_them(world: World, browser: Browser, scheme: Literal["light", "dark"]) -> None:
    """axe-core finds nothing serious, in both schemes; on a phone nothing is wider than the screen."""
    for width in (1280, PHONE):
        with Visit(browser, world.daemon.url, scheme=scheme, width=width) as page:
            for path in ("/", "/status", "/services/healthy", "/?q=nothing"):
                page.goto(world.daemon.url + path)
                assert hard_to_use(page) == []
                assert too_wide(page) <= 0


SCROLLED = """() => [...document.querySelectorAll("main table")]
    .filter(table => table.scrollWidth > table.clientWidth).map(table => table.textContent.slice(0, 80))"""


@pytest.mark.parametrize("name", ["fixing", "causes", "words", "troubleshooting"])
def test_the_help_fits_a_phone(world: World, browser: Browser, name: str) -> None:
    """No table of the help scrolls sideways, and code that does can be reached with the keyboard."""
    with Visit(browser, world.daemon.url, width=390) as page:
        page.goto(f"{world.daemon.url}/docs/{name}")
        assert page.evaluate(SCROLLED) == []
        assert too_wide(page) <= 0
        assert hard_to_use(page) == []


def test_a_query_can_be_reached_with_the_keyboard(world: World, browser: Browser) -> None:
    """axe-core finds nothing on the page of an unknown leak, with a query that is wider than a phone."""
    with Visit(browser, world.daemon.url, width=PHONE, allowed="404 (Not Found)") as page:
        page.goto(f"{world.daemon.url}/leaks/healthy/0123456789abcdef")
        expect(page.locator("pre")).to_contain_text("leakwatch_stack_goroutines")
        assert hard_to_use(page) == []


def test_an_address_is_on_one_line(world: World, browser: Browser) -> None:
    """The overview does not break the address of a target, and fits any window."""
    for width in (390, 970, 1100, 1280, 1920):
        with Visit(browser, world.daemon.url, width=width) as page:
            page.goto(f"{world.daemon.url}/")
            assert too_wide(page) <= 0
            lines = page.locator("table.leaks .targets bdi").first.evaluate("one => one.getClientRects().length")
            assert lines == 1 or width in {970, 1100}


def test_status_hides_secrets(world: World, browser: Browser) -> None:
    """The configuration in force stands there without its secrets, with the jobs."""
    with Visit(browser, world.daemon.url) as page:
        page.goto(f"{world.daemon.url}/status")
        main = page.locator("main")
        expect(main).to_contain_text("scrape_cost_limit: 1")
        expect(main).to_contain_text("credentials:")
        assert "hunter2" not in page.content()
        expect(page.locator("section", has_text="Discovery").locator("tbody tr")).to_have_count(3)


def test_what_is_not_there(world: World, browser: Browser) -> None:
    """The page of an unknown address has a link to the overview."""
    with Visit(browser, world.daemon.url, allowed="404 (Not Found)") as page:
        page.goto(f"{world.daemon.url}/services/nobody")
        expect(page.get_by_role("heading", level=1)).to_have_text("Not Found")
        page.get_by_role("link", name="Back to the overview").click()
        expect(page.locator("tr.leaking").first).to_be_visible()


def test_fifty_readers_at_once(world: World) -> None:
    """All get their page."""
    with ThreadPoolExecutor(50) as readers:
        answers = list(readers.map(lambda _: world.daemon.get("/"), range(50)))
    assert {(answer.status_code, "main.FilterService" in answer.text) for answer in answers} == {(200, True)}
