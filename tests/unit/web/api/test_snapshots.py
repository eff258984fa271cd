"""Differences between snapshots, in the API and on the page of a target."""

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from leakwatch.clock import Clock
from leakwatch.evidence.config import EvidenceConfig
from leakwatch.evidence.record import SUFFIXES, BodyFormat
from leakwatch.evidence.store import Store
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.model import Frame, Profile, Sample, Target, Trace
from leakwatch.pipeline import Pipeline
from leakwatch.profile import pprof
from leakwatch.profile.fingerprint import fingerprint_of
from leakwatch.web.api.leaks import leak_id
from leakwatch.web.api.state import AppState
from tests.support.api_world import DOWN, HOSTILE, ODD, ONE, TWO, app_state, get, view
from tests.support.kept_bodies import record
from tests.support.seen_pages import ParsedPage
from tests.support.simulated import START, stack
from tests.unit.web.pages.test_leak import path_of

PROFILES = Path(__file__).parents[3] / "profiles" / "1.27"
EVIL = 'main.<script>alert(1)<b>"\u202e'
BEFORE = {"main.grows": 5, "main.shrinks": 9, "main.ends": 4, "main.stays": 3}
AFTER = {"main.grows": 340, "main.shrinks": 8, EVIL: 20, "main.stays": 3}


def profile(counts: Mapping[str, int]) -> bytes:
    """Return a profile with these counts by function; main.serve calls all of them."""
    traces = {name: Trace((Frame(name, "/src/shop.go", 7), Frame("main.serve", "/s.go", 3))) for name in counts}
    groups = tuple((traces[name], count) for name, count in counts.items())
    return pprof.encode(Profile(sum(counts.values()), groups))


def add_profile(store: Store, target: Target, at: float, body: bytes, form: BodyFormat = "proto") -> str:
    """Store a profile of a target, taken `at` seconds after the start, and return its id."""
    stored = record(target.service, target.name, at=START + at, size=len(body))
    goroutines = {"format": form, "goroutines": int(at) + 1}
    return store.add(stored.model_copy(update=goroutines), {SUFFIXES[form]: body}, "").key


@pytest.fixture
def store() -> Store:
    """Return an empty store."""
    return Store(EvidenceConfig(), Clock())


@pytest.fixture
def two(store: Store) -> tuple[str, str]:
    """Store two profiles of a target, an hour apart, and return their ids."""
    return add_profile(store, ONE, 0, profile(BEFORE)), add_profile(store, ONE, 3600, profile(AFTER))


def request(store: Store, old: str, new: str, more: str = "") -> httpx.Response:
    """Request a difference from the API."""
    return get(f"/api/v1/diff?old={quote(old)}&new={quote(new)}{more}", app_state(evidence=store))


def difference(store: Store, old: str, new: str, more: str = "") -> dict[str, Any]:
    """Return a difference."""
    answer = request(store, old, new, more)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_a_difference_as_a_flame_graph(store: Store, two: tuple[str, str]) -> None:
    """Each call has its later goroutines and its change; a call that has ended has a change and no goroutines."""
    state = app_state(evidence=store)
    graph = get(f"/api/v1/diff/flame?old={two[0]}&new={two[1]}", state).json()
    assert (graph["since"], graph["scraped_at"], graph["left_out"]) == (START, START + 3600, 0)
    root = graph["root"]
    assert (root["value"], root["growth"]) == (371, 350)
    (serve,) = root["children"]
    calls = {call["name"]: (call["value"], call["growth"]) for call in serve["children"]}
    assert calls["main.grows"] == (340, 335)
    assert calls["main.shrinks"] == (8, -1)
    assert calls["main.ends"] == (0, -4)
    assert get(f"/api/v1/diff/flame?old={two[0]}&new=0123456789abcdef", state).status_code == 404


def test_the_page_shows_the_changes_as_a_flame_graph(store: Store, two: tuple[str, str]) -> None:
    """The page of a target links to the changes; the selected ones replace the latest profile."""
    state = app_state(evidence=store)
    page = ParsedPage(get(path_of(ONE), state).text)
    assert f"?old={two[0]}&new=now#flame" in page.links()
    (address,) = [flame for flame in page.attributes("data-flame") if flame]
    assert address.endswith("/flame")
    page = ParsedPage(get(f"{path_of(ONE)}?old={two[0]}&new={two[1]}", state).text)
    (address,) = [flame for flame in page.attributes("data-flame") if flame]
    assert address.endswith(f"api/v1/diff/flame?old={two[0]}&new={two[1]}")


def test_the_largest_growth_comes_first(store: Store, two: tuple[str, str]) -> None:
    """A difference has each changed stack with both counts, the largest growth first, and no unchanged stack."""
    body = difference(store, *two)
    assert [
        (row["function"], row["status"], row["before"], row["after"], row["change"]) for row in body["rows"]
    ] == [
        ("main.grows", "grown", 5, 340, 335),
        (EVIL, "new", 0, 20, 20),
        ("main.shrinks", "shrunk", 9, 8, -1),
        ("main.ends", "gone", 4, 0, -4),
    ]
    assert body["rows"][0]["stack"] == body["rows"][0]["key"] == fingerprint_of(["main.grows", "main.serve"])
    assert (body["total"], body["change"], body["by"]) == (4, 350, "stack")
    assert (body["old"]["goroutines"], body["new"]["goroutines"]) == (21, 371)
    assert (body["old"]["time"], body["new"]["time"]) == (START, START + 3600)
    assert body["summary"] == "2 stacks grew by 355 (1 new), 2 stacks shrank by 5 (1 gone), 1 stayed"


def test_there_and_back(store: Store, two: tuple[str, str]) -> None:
    """The reverse difference has the opposite changes; the difference of a profile with itself is empty."""
    there, back = difference(store, *two), difference(store, *two[::-1])
    changes = {row["key"]: row["change"] for row in there["rows"]}
    assert {row["key"]: -row["change"] for row in back["rows"]} == changes
    assert difference(store, two[0], two[0])["rows"] == []


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("site", [("main.grows", 335), (EVIL, 20), ("main.shrinks", -1), ("main.ends", -4)]),
        ("origin", [("main.serve", 350)]),
        ("reason", [("(unknown)", 350)]),
    ],
)
def test_groups(store: Store, two: tuple[str, str], by: str, rows: list[tuple[str, int]]) -> None:
    """Stacks with the same site, origin or wait reason are one row."""
    body = difference(store, *two, f"&by={by}")
    assert [(row["key"], row["change"]) for row in body["rows"]] == rows
    assert sum(row["stacks"] for row in body["rows"]) == (4 if by == "site" else 5)


def test_pagination(store: Store, two: tuple[str, str]) -> None:
    """Rows are paginated with a limit and an offset, and the total is reported."""
    rows = difference(store, *two)["rows"]
    body = difference(store, *two, "&limit=2&offset=1")
    assert (body["rows"], body["total"]) == (rows[1:3], 4)
    assert difference(store, *two, "&offset=100")["rows"] == []
    assert difference(store, *two, "&limit=0")["rows"] == []


def test_until_now(store: Store) -> None:
    """`now` is the latest scrape of the same target; a target without a scrape has none."""
    leak = stack("leak")
    counts = Profile(5, ((Trace(leak.frames), 5),))
    body = difference(store, add_profile(store, ONE, 0, pprof.encode(counts)), "now")
    (row,) = [row for row in body["rows"] if row["stack"] == leak.fingerprint]
    assert (row["before"], row["after"], row["status"]) == (5, 597, "grown")
    assert body["new"]["id"] == "now"
    target = get(f"/api/v1{path_of(ONE)}", app_state()).json()
    assert body["new"]["goroutines"] == target["goroutines"]
    answer = request(store, add_profile(store, DOWN, 0, profile(BEFORE)), "now")
    assert answer.status_code == 404
    assert DOWN.name in answer.json()["detail"]


def test_three_formats(store: Store) -> None:
    """Text, protobuf and a full dump of one program can be compared with each other."""
    files: dict[BodyFormat, str] = {"text": "debug1.txt", "proto": "debug0.pb.gz", "dump": "debug2.txt"}
    bodies = {form: (PROFILES / f"goroutine.{name}").read_bytes() for form, name in files.items()}
    packed = {form: body if form == "proto" else gzip.compress(body) for form, body in bodies.items()}
    text, proto, dump = (add_profile(store, ONE, i, packed[form], form) for i, form in enumerate(files))
    assert difference(store, text, proto)["summary"] == "60 stayed"
    functions = {row["function"] for row in difference(store, text, dump)["rows"]}
    assert functions == {
        "main.deep",
        "net/http.(*conn).serve",
    }  # cut at different frames; answered the request


def test_of_two_targets(store: Store) -> None:
    """Two replicas can be compared; each side names its target."""
    body = difference(
        store, add_profile(store, ONE, 0, profile(BEFORE)), add_profile(store, TWO, 0, profile(AFTER))
    )
    assert (body["old"]["target"], body["new"]["target"]) == (ONE.name, TWO.name)


def test_unknown_profiles(store: Store, two: tuple[str, str]) -> None:
    """An unknown id, a body that is not a profile, and an empty store give 404 with the id."""
    unknown, broken = "0" * 16, add_profile(store, ONE, 7, b"\x1f\x8bbroken")
    for bad in (unknown, broken):
        for pair in ((bad, two[0]), (two[0], bad), (bad, "now")):
            answer = request(store, *pair)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
            assert bad in answer.json()["detail"]
    assert get(f"/api/v1/diff?old={two[0]}&new={two[1]}").status_code == 404


def test_a_removed_profile(store: Store, two: tuple[str, str]) -> None:
    """A removed profile gives 404, even if a cache has it."""
    state = app_state(evidence=store)
    path = f"/api/v1/diff?old={two[0]}&new={two[1]}"
    assert get(path, state).json() == get(path, state).json()
    store.remove(next(body for body in store.bodies if body.key == two[0]))
    assert get(path, state).status_code == 404


def test_the_latest_snapshots_are_cached(store: Store) -> None:
    """However many profiles are compared, few stay in memory, and the answers are the same."""
    state = app_state(evidence=store)
    ids = [add_profile(store, ONE, i, profile({"main.grows": i + 1})) for i in range(12)]
    for _ in range(2):
        for i, key in enumerate(ids[1:], 1):
            assert get(f"/api/v1/diff?old={ids[0]}&new={key}", state).json()["change"] == i
    assert len(state.snapshots) <= 4


@pytest.mark.parametrize(
    "query",
    ["", "new=now", f"old={'0' * 16}", "old=now&new=now", f"old={'0' * 17}&new=now", "old=../x&new=now"]
    + [f"old={'0' * 16}&new=now&{more}" for more in ("by=colour", "limit=-1", "offset=x")],
)
def test_absurd_parameters(store: Store, query: str) -> None:
    """A missing or invalid parameter is a problem that names it."""
    answer = get(f"/api/v1/diff?{query}", app_state(evidence=store))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["errors"][0]["parameter"] in {"old", "new", "by", "limit", "offset"}


# --- the page ---


def page_of(state: AppState, query: str = "", target: Target = ONE) -> ParsedPage:
    """Return the page of a target."""
    answer = get(path_of(target) + query, state)
    assert answer.status_code == 200
    assert len(answer.content) < 300_000
    return ParsedPage(answer.text)


def words(page: ParsedPage) -> str:
    """Return the text of a page from the comparison on, in one line."""
    return " ".join(page.text.partition("Changes between two profiles")[2].split())


def chosen(page: ParsedPage) -> list[str | None]:
    """Return the selected options of the form."""
    return [
        attributes["value"] for tag, attributes in page.elements if tag == "option" and "selected" in attributes
    ]


def test_the_form_offers_all_profiles(store: Store, two: tuple[str, str]) -> None:
    """The form offers all stored profiles of a target; the default is from the first to now."""
    add_profile(store, TWO, 0, profile(BEFORE))
    page = page_of(app_state(evidence=store))
    options = [attributes["value"] for tag, attributes in page.elements if tag == "option"]
    assert options == [*two, *two, "now"]
    assert chosen(page) == [two[0], "now"]
    assert "2023-11-14 22:13:20 UTC, leaking, 1 " in words(page)
    assert "main.grows" not in page.text
    assert chosen(page_of(app_state(evidence=store), f"?old={two[1]}&new={two[0]}")) == [two[1], two[0]]


def test_the_form_offers_few_of_many_profiles(store: Store) -> None:
    """The form offers the first, the latest and the selected profiles, so that the page stays small."""
    ids = [add_profile(store, ONE, i, profile({"main.grows": i + 1})) for i in range(300)]
    page = page_of(app_state(evidence=store), f"?old={ids[50]}&new={ids[60]}")
    options = [attributes["value"] for tag, attributes in page.elements if tag == "option"]
    few = [ids[0], ids[50], ids[60], *ids[200:]]
    assert options == [*few, *few, "now"]
    assert "+10 51 61 main.grows" in words(page)


def test_the_difference_is_a_table(store: Store, two: tuple[str, str]) -> None:
    """The table has the change and both counts of each stack; hostile names are text."""
    page = page_of(app_state(evidence=store), f"?old={two[0]}&new={two[1]}")
    assert "21 to 371 goroutines; 2 stacks grew by 355 (1 new)" in words(page)
    for row in ("+335 5 340 main.grows", f"+20 0 20 {EVIL}", "\u22121 9 8 main.shrinks", "\u22124 4 0 main.ends"):
        assert row in words(page)
    assert "main.stays" not in page.text
    assert all("src" in attributes for tag, attributes in page.elements if tag == "script")
    (link,) = [link for link in page.attributes("href") if "/diff?" in link and "by=site" in link]
    assert get(link.replace("../../", "/"), app_state(evidence=store)).json()["by"] == "site"


def test_other_links_keep_the_difference(store: Store, two: tuple[str, str]) -> None:
    """Links that sort or filter stacks keep the comparison, and the form of the comparison keeps the filter."""
    selected = f"old={two[0]}&new={two[1]}"
    page = page_of(app_state(evidence=store), f"?{selected}&q=leak&sort=count")
    others = [link for link in page.attributes("href") if link.startswith("?") and selected not in link]
    assert others == ["?q=leak&sort=count#flame"]  # back to the latest profile
    hidden = [
        (attributes["name"], attributes["value"])
        for _, attributes in page.elements
        if attributes.get("type") == "hidden"
    ]
    assert sorted(hidden) == sorted(
        [("sort", "count"), ("old", two[0]), ("new", two[1]), ("q", "leak"), ("sort", "count")]
    )


@pytest.mark.parametrize(
    "query", ["old=x", "new=now", "old=%00&new=%ff", f"old={'0' * 16}&new=now", "old=now&new=now"]
)
def test_unknown_profiles_on_the_page(store: Store, two: tuple[str, str], query: str) -> None:
    """The page reports unknown profiles and offers the stored ones, also with an empty store."""
    for evidence in (store, Store(EvidenceConfig(), Clock())):
        page = page_of(app_state(evidence=evidence), f"?{query}")
        assert "not stored, or no longer stored" in words(page)
    assert two[0] in set(page_of(app_state(evidence=store)).attributes("value"))


def test_a_body_that_is_not_a_profile(store: Store, two: tuple[str, str]) -> None:
    """The page reports that the profile cannot be read."""
    broken = add_profile(store, ONE, 7, b"\x1f\x8bbroken")
    assert "cannot be read" in words(page_of(app_state(evidence=store), f"?old={broken}&new={two[0]}"))


def test_nothing_to_compare(store: Store) -> None:
    """Without stored profiles there is no form; one profile can be compared with now, whatever the names are."""
    assert words(page_of(app_state(evidence=store))) == ""
    key = add_profile(store, ODD, 0, profile(BEFORE))
    page = page_of(app_state(evidence=store), target=ODD)
    assert chosen(page) == [key, "now"]
    page = page_of(app_state(evidence=store), f"?old={key}&new=now", ODD)
    assert "main.grows" in words(page)
    assert ODD.service == HOSTILE
    add_profile(store, DOWN, 0, profile(BEFORE))
    assert words(page_of(app_state(evidence=store), target=DOWN)) == ""


def test_stacks_beyond_the_series_limit(store: Store) -> None:
    """The difference to now reports the goroutines of stacks beyond series_limit."""
    names = [f"main.f{i}" for i in range(9)]
    samples = {one_stack.fingerprint: Sample(one_stack, 5) for one_stack in map(stack, names)}
    pipeline = Pipeline(DetectionSettings(series_limit=3))
    pipeline.observe(pipeline.add_target(ONE), START, 45, samples)
    state = app_state(evidence=store, pipeline=pipeline)
    key = add_profile(store, ONE, 0, profile(BEFORE))
    new = get(f"/api/v1/diff?old={key}&new=now", state).json()["new"]
    assert (new["goroutines"], new["left_out"]) == (45, 30)
    assert "30 goroutines are in stacks beyond" in words(page_of(state, f"?old={key}&new=now"))


def test_the_page_of_a_leak_links_to_the_difference(store: Store) -> None:
    """The page links to the difference between the first profile of a target that still exists, and now."""
    (leak,) = [leak for leak in view().leaks if leak.service == HOSTILE and leak.stack.wait][:1]
    for target in (ODD, Target(HOSTILE, "removed")):
        for at in range(3):
            stored = record(target.service, target.name, at=START + at)
            recorded = stored.leaks[0].model_copy(update={"stack": leak.stack.fingerprint})
            store.add(
                stored.model_copy(update={"leaks": (recorded,), "format": "proto"}), {".pb.gz": profile(AFTER)}, ""
            )
    state = app_state(evidence=store)
    path = f"/leaks/{leak_id(leak)}"
    links = [link for link in ParsedPage(get(path, state).text).attributes("href") if "new=now#flame" in link]
    (link,) = set(links)
    keys = [body.key for body in store.bodies if body.record.target == ODD.name]
    assert link.endswith(f"?old={keys[-1]}&new=now#flame")
    assert link.startswith(f"../..{path_of(ODD)}?")
    text = words(ParsedPage(get(link.removeprefix("../.."), state).text))
    assert "From 2023-11-14 22:13:20 UTC to " in text
