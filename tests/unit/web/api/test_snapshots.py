"""What changed between two moments of a target, as the API and the page of the target tell it."""

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
from tests.support.api_world import DOWN, HOSTILE, ODD, ONE, TWO, get, source
from tests.support.kept_bodies import record
from tests.support.seen_pages import Seen
from tests.support.simulated import START, stack
from tests.unit.web.pages.test_leak import path_of

PROFILES = Path(__file__).parents[3] / "profiles" / "1.27"
EVIL = 'main.<script>alert(1)<b>"\u202e'
BEFORE = {"main.grows": 5, "main.shrinks": 9, "main.goes": 4, "main.stays": 3}
AFTER = {"main.grows": 340, "main.shrinks": 8, EVIL: 20, "main.stays": 3}


def profile(counts: Mapping[str, int]) -> bytes:
    """Return a body of stacks by the name of their function, all called by main.serve."""
    traces = {name: Trace((Frame(name, "/src/shop.go", 7), Frame("main.serve", "/s.go", 3))) for name in counts}
    groups = tuple((traces[name], count) for name, count in counts.items())
    return pprof.encode(Profile(sum(counts.values()), groups))


def keep(store: Store, target: Target, at: float, body: bytes, form: BodyFormat = "proto") -> str:
    """Keep a body of a target, `at` seconds after the start, and return its id."""
    one = record(target.service, target.name, at=START + at, size=len(body))
    goroutines = {"format": form, "goroutines": int(at) + 1}
    return store.add(one.model_copy(update=goroutines), {SUFFIXES[form]: body}, "").key


@pytest.fixture
def store() -> Store:
    """Return a store with nothing in it."""
    return Store(EvidenceConfig(), Clock())


@pytest.fixture
def two(store: Store) -> tuple[str, str]:
    """Keep two bodies of a target, an hour apart, and return their ids."""
    return keep(store, ONE, 0, profile(BEFORE)), keep(store, ONE, 3600, profile(AFTER))


def asked(store: Store, old: str, new: str, more: str = "") -> httpx.Response:
    """Ask the API for a difference."""
    return get(f"/api/v1/diff?old={quote(old)}&new={quote(new)}{more}", source(evidence=store))


def told(store: Store, old: str, new: str, more: str = "") -> dict[str, Any]:
    """Return a difference."""
    answer = asked(store, old, new, more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_what_grew_comes_first_and_what_shrank_last(store: Store, two: tuple[str, str]) -> None:
    """Each stack that changed is told with both counts; one that stayed is not."""
    found = told(store, *two)
    assert [
        (one["function"], one["status"], one["before"], one["after"], one["change"]) for one in found["rows"]
    ] == [
        ("main.grows", "grown", 5, 340, 335),
        (EVIL, "new", 0, 20, 20),
        ("main.shrinks", "shrunk", 9, 8, -1),
        ("main.goes", "gone", 4, 0, -4),
    ]
    assert found["rows"][0]["stack"] == found["rows"][0]["key"] == fingerprint_of(["main.grows", "main.serve"])
    assert (found["total"], found["change"], found["by"]) == (4, 350, "stack")
    assert (found["old"]["goroutines"], found["new"]["goroutines"]) == (21, 371)
    assert (found["old"]["time"], found["new"]["time"]) == (START, START + 3600)
    assert found["summary"] == "2 stacks grew by 355 (1 new), 2 stacks shrank by 5 (1 gone), 1 stayed"


def test_there_and_back(store: Store, two: tuple[str, str]) -> None:
    """The other way round all changes turn; with itself a profile has none."""
    there, back = told(store, *two), told(store, *two[::-1])
    changes = {one["key"]: one["change"] for one in there["rows"]}
    assert {one["key"]: -one["change"] for one in back["rows"]} == changes
    assert told(store, two[0], two[0])["rows"] == []


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("site", [("main.grows", 335), (EVIL, 20), ("main.shrinks", -1), ("main.goes", -4)]),
        ("origin", [("main.serve", 350)]),
        ("reason", [("(unknown)", 350)]),
    ],
)
def test_groups(store: Store, two: tuple[str, str], by: str, rows: list[tuple[str, int]]) -> None:
    """Stacks of one site, origin or wait reason count together."""
    found = told(store, *two, f"&by={by}")
    assert [(one["key"], one["change"]) for one in found["rows"]] == rows
    assert sum(one["stacks"] for one in found["rows"]) == (4 if by == "site" else 5)


def test_portions(store: Store, two: tuple[str, str]) -> None:
    """A page of the rows is asked for as of other lists, and says how many there are."""
    every = told(store, *two)["rows"]
    found = told(store, *two, "&limit=2&offset=1")
    assert (found["rows"], found["total"]) == (every[1:3], 4)
    assert told(store, *two, "&offset=100")["rows"] == []
    assert told(store, *two, "&limit=0")["rows"] == []


def test_until_now(store: Store) -> None:
    """`now` is the profile that was scraped last of the same target; one that answers no more has none."""
    leak = stack("leak")
    counts = Profile(5, ((Trace(leak.frames), 5),))
    found = told(store, keep(store, ONE, 0, pprof.encode(counts)), "now")
    (row,) = [one for one in found["rows"] if one["stack"] == leak.fingerprint]
    assert (row["before"], row["after"], row["status"]) == (5, 597, "grown")
    assert found["new"]["id"] == "now"
    target = get(f"/api/v1{path_of(ONE)}", source()).json()
    assert found["new"]["goroutines"] == target["goroutines"]
    answer = asked(store, keep(store, DOWN, 0, profile(BEFORE)), "now")
    assert answer.status_code == 404
    assert DOWN.name in answer.json()["detail"]


def test_one_profile_in_three_forms(store: Store) -> None:
    """Text, protobuf and a full dump of one program can be compared with each other."""
    files: dict[BodyFormat, str] = {"text": "debug1.txt", "proto": "debug0.pb.gz", "dump": "debug2.txt"}
    bodies = {form: (PROFILES / f"goroutine.{name}").read_bytes() for form, name in files.items()}
    packed = {form: body if form == "proto" else gzip.compress(body) for form, body in bodies.items()}
    text, proto, dump = (keep(store, ONE, i, packed[form], form) for i, form in enumerate(files))
    assert told(store, text, proto)["summary"] == "60 stayed"
    functions = {one["function"] for one in told(store, text, dump)["rows"]}
    assert functions == {"main.deep", "net/http.(*conn).serve"}  # what each cuts elsewhere, and who answered


def test_of_two_targets(store: Store) -> None:
    """Two replicas can be compared as well; each side says whose it is."""
    found = told(store, keep(store, ONE, 0, profile(BEFORE)), keep(store, TWO, 0, profile(AFTER)))
    assert (found["old"]["target"], found["new"]["target"]) == (ONE.name, TWO.name)


def test_what_is_not_kept(store: Store, two: tuple[str, str]) -> None:
    """An unknown id, a body that is no profile, and no evidence at all are 404, and say which."""
    unknown, broken = "0" * 16, keep(store, ONE, 7, b"\x1f\x8bbroken")
    for bad in (unknown, broken):
        for pair in ((bad, two[0]), (two[0], bad), (bad, "now")):
            answer = asked(store, *pair)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
            assert bad in answer.json()["detail"]
    assert get(f"/api/v1/diff?old={two[0]}&new={two[1]}").status_code == 404


def test_what_has_gone_since(store: Store, two: tuple[str, str]) -> None:
    """What was compared a moment ago is not told any more when it is no longer kept."""
    known = source(evidence=store)
    path = f"/api/v1/diff?old={two[0]}&new={two[1]}"
    assert get(path, known).json() == get(path, known).json()
    store.remove(next(body for body in store.bodies if body.key == two[0]))
    assert get(path, known).status_code == 404


def test_only_the_latest_few_are_remembered(store: Store) -> None:
    """However many are compared, few stay in memory, and the answers are the same."""
    known = source(evidence=store)
    ids = [keep(store, ONE, i, profile({"main.grows": i + 1})) for i in range(12)]
    for _ in range(2):
        for i, key in enumerate(ids[1:], 1):
            assert get(f"/api/v1/diff?old={ids[0]}&new={key}", known).json()["change"] == i
    assert len(known.moments) <= 4


@pytest.mark.parametrize(
    "query",
    ["", "new=now", f"old={'0' * 16}", "old=now&new=now", f"old={'0' * 17}&new=now", "old=../x&new=now"]
    + [f"old={'0' * 16}&new=now&{more}" for more in ("by=colour", "limit=-1", "offset=x")],
)
def test_absurd_parameters(store: Store, query: str) -> None:
    """A parameter that is missing, or cannot be, is a problem that names it."""
    answer = get(f"/api/v1/diff?{query}", source(evidence=store))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["errors"][0]["parameter"] in {"old", "new", "by", "limit", "offset"}


# --- the page ---


def shown(known: AppState, query: str = "", target: Target = ONE) -> Seen:
    """Return the page of a target, as a browser takes it."""
    answer = get(path_of(target) + query, known)
    assert answer.status_code == 200
    assert len(answer.content) < 300_000
    return Seen(answer.text)


def words(page: Seen) -> str:
    """Return the text of a page, from the difference on, in one line."""
    return " ".join(page.text.partition("What changed")[2].split())


def chosen(page: Seen) -> list[str | None]:
    """Return what is selected in the form."""
    return [
        attributes["value"] for tag, attributes in page.elements if tag == "option" and "selected" in attributes
    ]


def test_moments_can_be_chosen(store: Store, two: tuple[str, str]) -> None:
    """All that are kept of a target can be: from the first to now, unless something else is asked for."""
    keep(store, TWO, 0, profile(BEFORE))
    page = shown(source(evidence=store))
    options = [attributes["value"] for tag, attributes in page.elements if tag == "option"]
    assert options == [*two, *two, "now"]
    assert chosen(page) == [two[0], "now"]
    assert "2023-11-14 22:13:20 UTC, leaking, 1 " in words(page)
    assert "main.grows" not in page.text
    assert chosen(shown(source(evidence=store), f"?old={two[1]}&new={two[0]}")) == [two[1], two[0]]


def test_of_many_moments_few_are_offered(store: Store) -> None:
    """A page stays small whatever is kept: the first, the latest, and what was chosen by a link."""
    ids = [keep(store, ONE, i, profile({"main.grows": i + 1})) for i in range(300)]
    page = shown(source(evidence=store), f"?old={ids[50]}&new={ids[60]}")
    options = [attributes["value"] for tag, attributes in page.elements if tag == "option"]
    few = [ids[0], ids[50], ids[60], *ids[200:]]
    assert options == [*few, *few, "now"]
    assert "+10 51 61 main.grows" in words(page)


def test_the_difference_is_a_table(store: Store, two: tuple[str, str]) -> None:
    """It says what grew, by how much, and what is new; hostile names are text."""
    page = shown(source(evidence=store), f"?old={two[0]}&new={two[1]}")
    assert "21 to 371 goroutines; 2 stacks grew by 355 (1 new)" in words(page)
    for row in ("+335 5 340 main.grows", f"+20 0 20 {EVIL}", "\u22121 9 8 main.shrinks", "\u22124 4 0 main.goes"):
        assert row in words(page)
    assert "main.stays" not in page.text
    assert all("src" in attributes for tag, attributes in page.elements if tag == "script")
    (link,) = [link for link in page.attributes("href") if "/diff?" in link and "by=site" in link]
    assert get(link.replace("../../", "/"), source(evidence=store)).json()["by"] == "site"


def test_other_links_keep_the_difference(store: Store, two: tuple[str, str]) -> None:
    """Who sorts or filters the stacks still sees it, and who compares anew keeps the filter."""
    asked_for = f"old={two[0]}&new={two[1]}"
    page = shown(source(evidence=store), f"?{asked_for}&q=leak&sort=count")
    assert [link for link in page.attributes("href") if link.startswith("?") and asked_for not in link] == []
    hidden = [(one["name"], one["value"]) for tag, one in page.elements if one.get("type") == "hidden"]
    assert sorted(hidden) == sorted(
        [("sort", "count"), ("old", two[0]), ("new", two[1]), ("q", "leak"), ("sort", "count")]
    )


@pytest.mark.parametrize(
    "query", ["old=x", "new=now", "old=%00&new=%ff", f"old={'0' * 16}&new=now", "old=now&new=now"]
)
def test_moments_that_are_not_there(store: Store, two: tuple[str, str], query: str) -> None:
    """The page stays, says so, and offers those that are there; also where nothing at all is kept."""
    for evidence in (store, None):
        page = shown(source(evidence=evidence), f"?{query}")
        assert "not kept, or no longer" in words(page)
    assert two[0] in set(shown(source(evidence=store)).attributes("value"))


def test_a_body_that_is_no_profile(store: Store, two: tuple[str, str]) -> None:
    """The page says that it cannot be read."""
    broken = keep(store, ONE, 7, b"\x1f\x8bbroken")
    assert "cannot be read" in words(shown(source(evidence=store), f"?old={broken}&new={two[0]}"))


def test_nothing_to_compare(store: Store) -> None:
    """Where nothing is kept there is no form; one body can be compared with now, and names may be anything."""
    assert words(shown(source(evidence=store))) == ""
    key = keep(store, ODD, 0, profile(BEFORE))
    page = shown(source(evidence=store), target=ODD)
    assert chosen(page) == [key, "now"]
    page = shown(source(evidence=store), f"?old={key}&new=now", ODD)
    assert "main.grows" in words(page)
    assert ODD.service == HOSTILE
    keep(store, DOWN, 0, profile(BEFORE))
    assert words(shown(source(evidence=store), target=DOWN)) == ""


def test_stacks_that_are_not_followed(store: Store) -> None:
    """Beyond series_limit nobody knows the stacks of now: it is said how many goroutines are in them."""
    names = [f"main.f{i}" for i in range(9)]
    samples = {one.fingerprint: Sample(one, 5) for one in map(stack, names)}
    pipeline = Pipeline(DetectionSettings(series_limit=3))
    pipeline.observe(pipeline.add_target(ONE), START, 45, samples)
    known = source(evidence=store, pipeline=pipeline)
    key = keep(store, ONE, 0, profile(BEFORE))
    new = get(f"/api/v1/diff?old={key}&new=now", known).json()["new"]
    assert (new["goroutines"], new["left_out"]) == (45, 30)
    assert "30 goroutines are in stacks beyond" in words(shown(known, f"?old={key}&new=now"))


def test_the_page_of_a_leak_leads_to_the_difference(store: Store) -> None:
    """Where several bodies of a target are kept, the first and the last of them; not where a target is gone."""
    (leak,) = [leak for leak in source().leaks() if leak.service == HOSTILE and leak.stack.wait][:1]
    for target in (ODD, Target(HOSTILE, "gone")):
        for at in range(3):
            one = record(target.service, target.name, at=START + at)
            kept = one.leaks[0].model_copy(update={"stack": leak.stack.fingerprint})
            store.add(one.model_copy(update={"leaks": (kept,), "format": "proto"}), {".pb.gz": profile(AFTER)}, "")
    known = source(evidence=store)
    path = f"/leaks/{leak_id(leak)}"
    (link,) = [link for link in Seen(get(path, known).text).attributes("href") if "#difference" in link]
    keys = [body.key for body in store.bodies if body.record.target == ODD.name]
    assert link.endswith(f"?old={keys[-1]}&new={keys[0]}#difference")
    assert link.startswith(f"../..{path_of(ODD)}?")
    assert "4 stayed" in words(Seen(get(link.removeprefix("../.."), known).text))
